"""Stacks of digits: three grey images at random as the red, green and blue of one (Metz et al. 2017)."""

import torch

from cgan.data.sources import Source, Split, SplitName
from cgan.errors import CganError, check_whole
from cgan.seeding import torch_stream
from cgan.spec import DataSpec, combine_names

CHANNELS = 3


class StackedSource:
    """Stacks of three images of another source, drawn with replacement and named by their classes, such as ``3+1+4``.

    A split's stacks are made of images of the same split, so no test image is ever trained on. With MNIST this is
    StackedMNIST with its 1,000 classes (Lin et al. 2018, PacGAN, arXiv:1712.04086, section 4.2): one factor of ten
    classes per channel.

    Args:
        digits: The source of grey images; any with one channel.
        train: Number of stacks in the training split.
        test: Number of stacks in the test split.
        seed: Names the stacks.

    Raises:
        CganError: The images are not grey, or a number of stacks is none.
    """

    def __init__(self, digits: Source, train: int = 128_000, test: int = 26_000, seed: int = 0) -> None:
        spec = digits.spec
        if spec.img_shape[0] != 1:
            raise CganError(f"stacks: expected grey images of one channel, {spec.name} has {spec.img_shape[0]}")
        for name, count in (("train", train), ("test", test)):
            check_whole(f"data.source.{name}", count, 1)
        check_whole("data.source.seed", seed, 0)
        self.digits = digits
        self.counts: dict[SplitName, int] = {"train": train, "test": test}
        self.seed = seed
        self.spec = DataSpec(
            f"stacked_{spec.name}",
            (CHANNELS, *spec.img_shape[1:]),
            combine_names(*[spec.class_names] * CHANNELS),
            (spec.num_classes,) * CHANNELS,
        )

    def prepare(self) -> None:
        """Download the single images if they are missing."""
        self.digits.prepare()

    def load(self, split: SplitName) -> Split:
        """Stack images of one split: (N, 3, H, W) uint8 and the labels of the combinations, (N,)."""
        images, labels = self.digits.load(split)
        stream = torch_stream(self.seed, split == "test")
        chosen = torch.randint(len(labels), (self.counts[split], CHANNELS), generator=stream)
        red, green, blue = labels[chosen].unbind(1)
        classes = self.digits.spec.num_classes
        return Split(images.squeeze(1)[chosen], (red * classes + green) * classes + blue)
