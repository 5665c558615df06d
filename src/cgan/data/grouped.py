"""Groups of alike images in place of labels, for data without any."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from cgan.data.report import per_class
from cgan.data.sources import Source, Split, SplitName
from cgan.data.unlabelled import Unlabelled
from cgan.errors import CganError, check_whole
from cgan.seeding import torch_stream
from cgan.spec import MAX_CLASSES, DataSpec, combine_names

SIDE = 14
"""Height and width of the small copies that are compared, in pixels."""
FITTED = 30_000
"""Training images that the centres are found from."""


class Grouped(Unlabelled):
    """A source whose classes are groups of alike images: k-means of small copies of the training images.

    A generator that knows the group has less to find out by itself and leaves out less (Liu et al. 2020, "Diverse Image
    Generation via Self-Conditioned GANs", arXiv:2006.10728; Sage et al. 2018, arXiv:1712.04407). No label is read.

    Args:
        source: The data set.
        groups: Number of groups; or one number per channel, for images whose channels are pictures of their own: then
            each channel is grouped for itself, and each is a factor of the classes.
        seed: Of the first centres.

    Raises:
        CganError: A number of groups is not 2 or more, they are not one per channel, or make too many classes.
    """

    def __init__(self, source: Source, groups: int | list[int] | tuple[int, ...], seed: int = 0) -> None:
        super().__init__(source)
        spec = source.spec
        self.counts = list(groups) if isinstance(groups, list | tuple) else [groups]
        self.typed = f"data.groups={groups}"
        for count in self.counts:
            check_whole("data.groups", count, 2)
        if isinstance(groups, list | tuple) and len(groups) != spec.img_shape[0]:
            raise CganError(f"{self.typed}: expected one number, or one for each of {spec.img_shape[0]} channels")
        if (classes := math.prod(self.counts)) > MAX_CLASSES:
            raise CganError(f"{self.typed}: {classes:,} classes, expected {MAX_CLASSES:,} at most")
        self.seed = seed
        names = ([f"g{number}" for number in range(count)] for count in self.counts)
        factors = tuple(self.counts) if len(self.counts) > 1 else ()
        self.spec = DataSpec(spec.name, spec.img_shape, combine_names(*names), factors, grouped=True)
        self._centres: list[Any] = []
        self._sizes = ""

    @property
    def report(self) -> list[str]:
        """What the source reports and, once the training images are read, how large the groups are."""
        lines = list(getattr(self.source, "report", []))
        return [*lines, f"Groups:   {self._sizes}"] if lines and self._sizes else lines

    def load(self, split: SplitName) -> Split:
        """Read one split; a label is the group whose centre, of the training images, is nearest.

        Raises:
            CganError: There are fewer training images than groups.
        """
        images = self.source.load(split).images
        if not self._centres:
            self._fit(images if split == "train" else self.source.load("train").images)
        parts = [
            torch.from_numpy(centres.predict(points)).long()
            for centres, points in zip(self._centres, self._points(images), strict=True)
        ]
        label = torch.zeros(len(images), dtype=torch.int64)
        for count, part in zip(self.counts, parts, strict=True):
            label = label * count + part
        if split == "train":
            self._sizes = per_class(label.numpy(), self.spec.class_names)
        return Split(images, label)

    def _fit(self, images: Tensor) -> None:
        from sklearn.cluster import KMeans  # a second, which other data need not wait for

        if len(images) < max(self.counts):
            raise CganError(f"{self.typed}: more groups than the {len(images):,} training images")
        chosen = torch.randperm(len(images), generator=torch_stream(self.seed))[:FITTED]
        self._centres = [
            KMeans(count, n_init=1, random_state=self.seed).fit(points)
            for count, points in zip(self.counts, self._points(images[chosen]), strict=True)
        ]

    def _points(self, images: Tensor) -> list[Any]:
        """Return what is compared, one array per factor: (N, C, H, W) uint8 -> (N, C * SIDE * SIDE) or less."""
        parts = [images] if len(self.counts) == 1 else images.split(1, dim=1)
        return [_small(part).numpy() for part in parts]


def _small(images: Tensor) -> Tensor:
    """Average areas: (N, C, H, W) uint8 -> (N, C * SIDE * SIDE) in [0, 1]."""
    parts = [adaptive_avg_pool2d(some.float() / 255, SIDE).flatten(1) for some in images.split(5000)]
    return torch.cat(parts)
