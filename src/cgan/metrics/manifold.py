"""Precision, recall, density and coverage: are samples where real images are, and everywhere they are?

All four compare equally many samples and reference images, with balls that reach to the k-th nearest neighbour. The
reference's are found once.
"""

import math

import torch
from torch import Tensor

from cgan.metrics.features import Features, evenly, share
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.neighbours import PART_BYTES, nearest
from cgan.metrics.values import described

K = 5
OF_A_CLASS = 250
"""Images of a class that its recall compares at most: it stays cheap enough for every epoch."""


class _OfBalls(Metric):
    """Knows the balls of as many reference images as there are samples, or of all: centres (N, D) and radii (N,)."""

    min_samples = K + 1

    def prepare(self, real: RealImages) -> None:
        self.real = real.reference.features[real.equal]
        self.radii = real.kept("radii", lambda: _radii(self.real))

    def _equal(self, samples: Features) -> Tensor:
        """Return the features of as many samples as there are balls."""
        return samples.spread(min(len(samples.labels), len(self.real))).features


class PrecisionRecall(_OfBalls):
    """Precision and recall with k = 5.

    Precision: share of samples inside a real image's ball. Recall: share of real images inside a sample's ball.
    """

    values = described("precision", "recall")

    def compute(self, samples: Features, reference: Features) -> Computed:
        drawn = self._equal(samples)
        inside, _ = _hits(drawn, self.real, self.radii, closed=True)
        return {"precision": share(inside > 0), "recall": _recall(self.real, drawn)}


class DensityCoverage(_OfBalls):
    """Density and coverage with k = 5.

    Density: number of real images' balls that a sample lies in, over k. Coverage: share of real images' balls that
    hold a sample.
    """

    values = described("density", "coverage")

    def compute(self, samples: Features, reference: Features) -> Computed:
        inside, held = _hits(self._equal(samples), self.real, self.radii, closed=False)
        return {"density": float(inside.double().mean()) / K, "coverage": share(held > 0)}


class ClassRecall(Metric):
    """Recall with k = 5 within each class, of at most 250 images of it: a starved class has next to none."""

    values = described("class_recall")
    min_per_class = K + 1

    def compute(self, samples: Features, reference: Features) -> Computed:
        labels = range(int(reference.labels.max()) + 1)
        return {"class_recall": [_class_recall(samples, reference, label) for label in labels]}


def _class_recall(samples: Features, reference: Features, label: int) -> float:
    places = [(images.labels == label).nonzero().flatten() for images in (samples, reference)]
    n = min(OF_A_CLASS, *(len(some) for some in places))
    if n <= K:
        return math.nan
    drawn, real = (some[evenly(len(some), n)] for some in places)
    return _recall(reference.features[real], samples.features[drawn])


def _radii(points: Tensor) -> Tensor:
    return nearest(points, points, K, same=True).distances[:, -1]


def _recall(real: Tensor, samples: Tensor) -> float:
    return share(_hits(real, samples, _radii(samples), closed=True)[0] > 0)


def _hits(points: Tensor, centres: Tensor, radii: Tensor, *, closed: bool) -> tuple[Tensor, Tensor]:
    """Count the balls that each point is in, and the points that each ball holds, with its surface or without."""
    inside, held = [], torch.zeros(len(centres), dtype=torch.long)
    for some in points.split(min(1000, max(1, PART_BYTES // (4 * len(centres))))):
        distances = torch.cdist(some, centres)
        hits = distances <= radii if closed else distances < radii
        inside.append(hits.sum(1))
        held += hits.sum(0)
    return torch.cat(inside), held
