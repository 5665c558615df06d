"""Well-known data sets that torchvision downloads and reads."""

import inspect
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.datasets import VisionDataset

from cgan.data.sources import SPLITS, Split, SplitName
from cgan.errors import CganError
from cgan.files import downloading_into
from cgan.spec import DataSpec


@dataclass(eq=False)
class TorchvisionSource:
    """A labelled image data set of torchvision that holds its pixels in memory: CIFAR10, CIFAR100, SVHN, STL10, USPS.

    Files put under ``root`` by hand are used without a network, in archives or unpacked.

    Attributes:
        dataset: The name of the class in ``torchvision.datasets``.
        root: The folder with the files.
        img_shape: (C, H, W).
        class_names: One name per class, in the order of the labels.
        files: What lies under ``root``, for error messages.
        name: What the data set is called; by default as its class, in small letters.
    """

    dataset: str
    root: str
    img_shape: list[int]
    class_names: list[str]
    files: str = ""
    name: str | None = None

    def __post_init__(self) -> None:
        known = getattr(torchvision.datasets, str(self.dataset), None)
        if not isinstance(known, type) or not issubclass(known, VisionDataset):
            raise CganError(f"data.source.dataset={self.dataset}: torchvision has no such data set")
        shape = self.img_shape
        if not isinstance(shape, Sequence) or len(shape) != 3 or not all(type(v) is int and v > 0 for v in shape):
            raise CganError(f"data.source.img_shape={shape}: expected channels, height and width, such as [1,28,28]")
        self.folder = Path(self.root).expanduser()
        names = tuple(map(str, self.class_names))
        self.spec = DataSpec(self.name or self.dataset.lower(), (shape[0], shape[1], shape[2]), names)

    def prepare(self) -> None:
        """Download both splits unless their files are there.

        Raises:
            CganError: The files are missing, damaged or out of reach.
        """
        for split in SPLITS:
            self._open(split, download=True)

    def load(self, split: SplitName) -> Split:
        """Read one split.

        Raises:
            CganError: The files are missing or damaged, or hold other shapes or labels than the spec says.
        """
        images, labels = self._read(split)
        found = tuple(images.shape[1:])
        if found != self.spec.img_shape or len(images) != len(labels) or len(images) == 0:
            raise self._unusable(f"{len(images)} images of {found} and {len(labels)} labels in the {split} split")
        if labels.min() < 0 or labels.max() >= self.spec.num_classes:
            raise self._unusable(f"labels from {int(labels.min())} to {int(labels.max())} in the {split} split")
        return Split(images, labels)

    def _read(self, split: SplitName) -> tuple[Tensor, Tensor]:
        """Return (N, C, H, W) uint8 and (N,) int64 as they are stored, unchecked."""
        stored = self._open(split, download=False)
        images = torch.as_tensor(stored.data)
        if images.ndim == 3:  # USPS stores (N, H, W)
            images = images.unsqueeze(1)
        elif images.shape[1:] != self.spec.img_shape:  # CIFAR stores (N, H, W, C), SVHN and STL10 (N, C, H, W)
            images = images.permute(0, 3, 1, 2)
        labels = stored.labels if hasattr(stored, "labels") else stored.targets
        return images.contiguous(), torch.as_tensor(labels, dtype=torch.int64)

    def _open(self, split: str, *, download: bool, **arguments: Any) -> Any:
        dataset = getattr(torchvision.datasets, self.dataset)
        by_name = "train" not in inspect.signature(dataset).parameters and not arguments
        arguments |= {"split": split} if by_name else {"train": split == "train"}
        try:
            with downloading_into(self.folder) if download else nullcontext():
                return dataset(str(self.folder), download=download, **arguments)
        except (RuntimeError, OSError, EOFError, ValueError, AssertionError, zlib.error) as error:
            raise self._unusable(str(error) or type(error).__name__) from error

    def _unusable(self, found: str) -> CganError:
        said = shorten(found, 300, placeholder=" ...")
        return CganError(
            f"{self.dataset} under {self.folder.absolute()}: {said}. Place the data set's official files there "
            f"({self.files}), name the folder that has them with data.root=FOLDER, or use the digits that need no "
            "download with data=mnist5k"
        )
