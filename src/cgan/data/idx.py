"""MNIST and its kin, read from their own IDX files (http://yann.lecun.com/exdb/mnist) under any of the usual names."""

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgan.data.known import TorchvisionSource
from cgan.data.sources import SPLITS, SplitName
from cgan.errors import CganError

_TYPES = {0x08: "u1", 0x0C: ">i4"}


@dataclass(eq=False)
class IdxSource(TorchvisionSource):
    """Grey images in IDX files: MNIST, FashionMNIST, KMNIST, EMNIST, QMNIST; torchvision downloads what is missing.

    A file is looked for in ``root/DATASET/raw``, where torchvision puts it, ``root/DATASET``, ``root/raw`` and
    ``root``; compressed (``.gz``) or not, as ``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``.

    Attributes:
        stems: What the names of the files start with: those of the training and of the test split.
        labels: What the names of the files of labels end in. Of more than one column the first has the classes.
        first_label: The label of the first class.
        transposed: Whether images are stored column by column.
        part: The part of EMNIST to download. The other arguments are those of :class:`TorchvisionSource`.
    """

    stems: tuple[str, str] = ("train", "t10k")
    labels: str = "labels-idx1-ubyte"
    first_label: int = 0
    transposed: bool = False
    part: str | None = None

    def prepare(self) -> None:
        """Download the files unless all are there.

        Raises:
            CganError: Files are missing and out of reach.
        """
        names = [name for split in SPLITS for name in self._names(split)]
        if missing := [name for name in names if self._find(name) is None]:
            try:
                for split in SPLITS:
                    self._open(split, download=True, **({"split": self.part} if self.part else {}))
            except CganError as error:
                raise self._unusable(f"no {missing[0]}, and no download ({error.__cause__})") from error

    def _read(self, split: SplitName) -> tuple[Tensor, Tensor]:
        images, labels = map(self._read_file, self._names(split))
        if images.ndim != 3:
            raise self._unusable(f"images of shape {images.shape} in the {split} split")
        upright = images.transpose(0, 2, 1) if self.transposed else images
        first_column = labels.reshape(len(labels), -1)[:, 0].astype(np.int64)
        # a copy, for the bytes of a file cannot be written to
        return torch.from_numpy(upright.copy()).unsqueeze(1), torch.from_numpy(first_column - self.first_label)

    def _names(self, split: SplitName) -> tuple[str, str]:
        """Return the names of a split's files of images and of labels, in their first spelling."""
        stem = self.stems[SPLITS.index(split)]
        return f"{stem}-images-idx3-ubyte", f"{stem}-{self.labels}"

    def _read_file(self, name: str) -> np.ndarray:
        path = self._find(name)
        if path is None:
            raise self._unusable(f"no {name}")
        try:
            return read_idx(path)
        except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
            raise self._unusable(f"{path} is damaged ({error})") from error

    def _find(self, name: str) -> Path | None:
        dotted = name.replace("-idx", ".idx")
        names = [f"{spelled}{ending}" for ending in ("", ".gz") for spelled in (name, dotted, f"{dotted}/{dotted}")]
        folders = [self.folder / self.dataset / "raw", self.folder / self.dataset, self.folder / "raw", self.folder]
        return next((path for folder in folders for file in names if (path := folder / file).is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes or 32-bit integers, compressed by gzip or not; the array cannot be written to.

    Raises:
        OSError, EOFError, ValueError, KeyError, zlib.error: It is damaged or of another format.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    zeros, kind, ndim = content[:2], *content[2:4]
    shape = np.frombuffer(content, ">u4", ndim, offset=4).tolist()
    values = np.frombuffer(content, _TYPES[kind], offset=4 + 4 * ndim)
    if zeros != b"\0\0" or values.size != math.prod(shape):
        raise ValueError(f"its header promises {shape}, and {values.size:,} values follow")
    return values.reshape(shape)
