"""Groups of alike images in place of labels, for data without any."""

import logging
import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.data.report import per_class
from cgan.data.sources import Source, Split, SplitName
from cgan.data.unlabelled import Unlabelled
from cgan.errors import CganError, check_whole
from cgan.seeding import torch_stream
from cgan.spec import MAX_CLASSES, DataSpec, combine_names

log = logging.getLogger(__name__)
BINS, CELLS = 8, 5
"""Directions of edges, and the places where they are counted: as many across as down."""
NEIGHBOURS = 10
"""Most alike images that an image is joined with, itself among them; fewer where groups are that small."""
CHUNK = 64
"""Images at a time: what lies in the processor's cache is described seven times as fast."""
SEED = 0
FITTED = 20_000
"""Training images that the groups are found from."""


class Grouped(Unlabelled):
    """A source whose classes are groups of training images with alike outlines.

    A generator that knows the group has less to find out by itself and leaves out less (Liu et al. 2020, "Diverse Image
    Generation via Self-Conditioned GANs", arXiv:2006.10728; Sage et al. 2018, arXiv:1712.04407). No label is read.

    Args:
        source: The data set.
        groups: Number of groups; or one number per channel, for images whose channels are pictures of their own: then
            each channel is grouped for itself, and each is a factor of the classes.

    Raises:
        CganError: A number of groups is not 2 or more, they are not one per channel, or make too many classes.
    """

    def __init__(self, source: Source, groups: int | list[int] | tuple[int, ...]) -> None:
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
        names = ([f"g{number}" for number in range(count)] for count in self.counts)
        factors = tuple(self.counts) if len(self.counts) > 1 else ()
        self.spec = DataSpec(spec.name, spec.img_shape, combine_names(*names), factors, grouped=True)
        self._groupings: list[_Grouping] = []
        self._labels: dict[SplitName, Tensor] = {}

    @property
    def report(self) -> list[str]:
        """What the source reports and, once the training images are read, how large the groups are."""
        lines = list(getattr(self.source, "report", []))
        if lines and "train" in self._labels:
            lines.append(f"Groups:   {per_class(self._labels['train'].numpy(), self.spec.class_names)}")
        return lines

    def load(self, split: SplitName) -> Split:
        """Read one split; a label is the group of the training image with the most alike outlines.

        Raises:
            CganError: There are fewer different training images than groups.
        """
        images = self.source.load(split).images
        if split not in self._labels:
            self._labels[split] = self._grouped(images, split)
        return Split(images, self._labels[split])

    def _grouped(self, images: Tensor, split: SplitName) -> Tensor:
        """Return the group of each image; of several factors the last one counts fastest."""
        log.info("Sorting %s images into groups of alike outlines", f"{len(images):,}")
        if not self._groupings:
            self._fit(images if split == "train" else self.source.load("train").images)
        label = torch.zeros(len(images), dtype=torch.int64)
        for grouping, points in zip(self._groupings, self._points(images), strict=True):
            label = label * len(grouping) + grouping(points)
        return label

    def _fit(self, images: Tensor) -> None:
        chosen = torch.randperm(len(images), generator=torch_stream(SEED))[:FITTED]
        pairs = zip(self.counts, self._points(images[chosen]), strict=True)
        self._groupings = [_Grouping(points, count, self.typed) for count, points in pairs]

    def _points(self, images: Tensor) -> list[np.ndarray]:
        """Return what is compared, an array for each factor: (N, C, H, W) uint8 -> (N, BINS * CELLS * CELLS)."""
        return [outlines(part) for part in ([images] if len(self.counts) == 1 else images.split(1, dim=1))]


class _Grouping:
    """Groups of points by spectral clustering of the graph of nearest neighbours (Ng, Jordan & Weiss 2001).

    Groups are read off its eigenvectors by pivoted QR (Damle, Minden & Ying 2019), without random starts. A group
    is what paths of alike images connect, so it need not be round, as a digit's is not. Of MNIST's outlines 20 such
    groups hold 96 % of one digit; k-means joined by Ward's method 86 %.
    """

    def __init__(self, points: np.ndarray, count: int, typed: str) -> None:
        from sklearn.cluster import SpectralClustering  # a second, which other data need not wait for
        from sklearn.neighbors import kneighbors_graph

        points = np.unique(points, axis=0)  # of equal images neither the neighbours nor the graph would be of use
        if len(points) < count:
            raise CganError(f"{typed}: more groups than the {len(points):,} different outlines of the training images")
        self.points, self.count = points, count
        near = kneighbors_graph(points, min(NEIGHBOURS, max(len(points) // (4 * count), 2)), include_self=True)
        clustering = SpectralClustering(
            count,
            affinity="precomputed",
            eigen_solver="lobpcg",  # arpack takes forty times as long where groups are not apart
            assign_labels="cluster_qr",
            random_state=SEED,
        )
        with warnings.catch_warnings():  # a graph in several parts is no fault: they are groups
            warnings.filterwarnings("ignore", "Graph is not fully connected")
            self.group_of_point = clustering.fit_predict((near + near.T) / 2)

    def __len__(self) -> int:
        return self.count

    def __call__(self, points: np.ndarray) -> Tensor:
        """Return the group of each point: (N, D) -> (N,) int64."""
        from sklearn.metrics import pairwise_distances_argmin

        return torch.from_numpy(self.group_of_point[pairwise_distances_argmin(points, self.points)]).long()


def outlines(images: Tensor) -> np.ndarray:
    """Describe images by where edges have which direction, however strong: (N, C, H, W) uint8 -> (N, D) float32.

    Histograms of oriented gradients (Dalal & Triggs 2005) of the mean of the channels, in ``CELLS`` x ``CELLS`` cells.
    """
    return torch.cat([_outlines(some) for some in images.split(CHUNK)]).numpy()


def _outlines(images: Tensor) -> Tensor:
    grey = images.float().mean(1, keepdim=True) / 255
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    direction = torch.atan2(down, across) * (BINS / math.tau) % BINS
    apart = (direction - torch.arange(BINS).view(-1, 1, 1)).abs()  # a direction counts for the two bins beside it
    share = (1 - torch.minimum(apart, BINS - apart)).clamp(min=0)
    cells = F.adaptive_avg_pool2d(torch.hypot(across, down) * share, CELLS).flatten(1).sqrt()
    return F.normalize(cells)
