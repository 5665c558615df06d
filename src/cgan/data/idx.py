"""MNIST and its kin, read from their own IDX files (http://yann.lecun.com/exdb/mnist) under any of the usual names."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgan.data.known import TorchvisionSource
from cgan.data.sources import SplitName
from cgan.errors import CganError

_TYPES = {0x08: "u1", 0x0C: ">i4"}


class IdxSource(TorchvisionSource):
    """Grey images in IDX files: MNIST, FashionMNIST, KMNIST, EMNIST, QMNIST; torchvision downloads what is missing.

    A file is looked for in ``root/DATASET/raw``, where torchvision puts it, ``root/DATASET``, ``root/raw`` and
    ``root``; packed (``.gz``) or not, as ``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``.

    Args:
        dataset: The name of the class in ``torchvision.datasets``.
        root: The folder with the files.
        img_shape: (1, H, W).
        class_names: One name per class, in the order of the labels.
        files: What lies under ``root``, for error messages.
        name: What the data set is called; by default as its class, in small letters.
        stems: What the names of the files start with: those of the training and of the test split.
        labels: What the names of the files of labels end in. Of more than one column the first has the classes.
        first_label: The label of the first class.
        transposed: Whether images are stored column by column.
        part: The part of EMNIST to download.
    """

    def __init__(
        self,
        dataset: str,
        root: str,
        img_shape: list[int],
        class_names: list[str],
        files: str = "",
        name: str | None = None,
        stems: tuple[str, str] = ("train", "t10k"),
        labels: str = "labels-idx1-ubyte",
        first_label: int = 0,
        transposed: bool = False,
        part: str | None = None,
    ) -> None:
        super().__init__(dataset, root, img_shape, class_names, files, name)
        train, test = stems
        self.stems: dict[SplitName, str] = {"train": train, "test": test}
        self.endings = ("images-idx3-ubyte", labels)
        self.first_label = first_label
        self.transposed = transposed
        self.part = part

    def prepare(self) -> None:
        """Download the files unless all are there.

        Raises:
            CganError: Files are missing and out of reach.
        """
        names = [f"{stem}-{ending}" for stem in self.stems.values() for ending in self.endings]
        if missing := [name for name in names if self._find(name) is None]:
            try:
                for split in ("train", "test"):
                    self._open(split, download=True, **({"split": self.part} if self.part else {}))
            except CganError as error:
                raise self._unusable(f"no {missing[0]}, and no download ({error.__cause__})") from error

    def _read(self, split: SplitName) -> tuple[Tensor, Tensor]:
        images, labels = (self._read_file(f"{self.stems[split]}-{ending}") for ending in self.endings)
        if images.ndim != 3:
            raise self._unusable(f"images of shape {images.shape} in the {split} split")
        upright = images.transpose(0, 2, 1) if self.transposed else images
        first_column = labels.reshape(len(labels), -1)[:, 0].astype(np.int64)
        # a copy, for the bytes of a file cannot be written to
        return torch.from_numpy(upright.copy()).unsqueeze(1), torch.from_numpy(first_column - self.first_label)

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
        names = [f"{spelled}{packed}" for packed in ("", ".gz") for spelled in (name, dotted, f"{dotted}/{dotted}")]
        folders = [self.root / self.dataset / "raw", self.root / self.dataset, self.root / "raw", self.root]
        return next((path for folder in folders for file in names if (path := folder / file).is_file()), None)


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of bytes or 32-bit integers, packed by gzip or not; the array cannot be written to.

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
