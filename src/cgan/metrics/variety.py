"""Variety and copying: do samples of a class vary as real ones do, and are they new?"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from cgan.errors import check_whole
from cgan.metrics.features import Extractor, Features, share
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.neighbours import nearest
from cgan.metrics.values import described

TAIL = 0.01
"""Distances below this quantile of real images' distances count as suspiciously near, so real images have about 1 %."""
COPY = 0.5 / 255
"""Root mean square of the differences below which images are copies of each other, whatever the quantile: that of a
data set which holds copies itself is 0. Rounding alone is below a tenth of it."""


class VarianceRatio(Metric):
    """Variance of the features within a class over that of the reference: mean over classes, and the lowest.

    Classes whose reference images are all alike are left out; where all are, there is no value.
    """

    values = described("variance_ratio", "variance_ratio_min")
    min_per_class = 2

    def prepare(self, real: RealImages) -> None:
        labels = real.reference.labels.unique()
        variances = _variances(real.reference, labels.tolist())
        self.labels, self.variances = labels[variances > 0].tolist(), variances[variances > 0]

    def compute(self, samples: Features, reference: Features) -> Computed:
        if not self.labels:
            return {}
        if int(samples.labels.bincount(minlength=max(self.labels) + 1)[self.labels].min()) < self.min_per_class:
            return {}
        ratios = _variances(samples, self.labels) / self.variances
        return {"variance_ratio": float(ratios.mean()), "variance_ratio_min": float(ratios.min())}


class _OfPixels(Metric):
    """Compares images by their pixels, which takes long where there are many."""

    def __init__(self, most: int | None = None) -> None:
        if most is not None:
            check_whole(f"metrics.{self.values[0].name}.most", most, 2)
        self.most = most

    def missing(self, extractor: Extractor, labels: Tensor, reference: Tensor, kind: str = "samples") -> str | None:
        if self.most is not None and len(reference) > self.most:
            return f"needs at most {self.most:,} reference images, found {len(reference):,}"
        return super().missing(extractor, labels, reference, kind)


class NearDuplicates(_OfPixels):
    """Share of samples with another sample nearer than 99 % of equally many reference images have one, in pixels.

    Args:
        most: Reference images; with more there is no value. None: however many.

    Raises:
        CganError: ``most`` is no whole number from 2.
    """

    values = described("near_duplicates")

    def prepare(self, real: RealImages) -> None:
        images = real.reference.images
        twins = real.kept("twins", lambda: _to_twin(images[real.equal]))
        self.count, self.limit = len(twins), _limit(twins, images)

    def compute(self, samples: Features, reference: Features) -> Computed:
        few = samples.spread(min(len(samples.labels), self.count))  # of more images more have a twin
        return {"near_duplicates": share(_to_twin(few.images) < self.limit)}


class Memorised(_OfPixels):
    """Share of samples nearer to a training image than 99 % of the test images are, in pixels.

    Args:
        most: Reference images; with more there is no value. None: however many.

    Raises:
        CganError: ``most`` is no whole number from 2.
    """

    values = described("memorised")

    def prepare(self, real: RealImages) -> None:
        """Keep the splits by name, whichever is the reference."""
        self.train, few = real.train, real.test.spread(min(real.n, len(real.test.labels)))
        self.test = real.kept("nearest_training", lambda: _to_nearest(few, real.train))
        self.limit = _limit(self.test, real.train.images)

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"memorised": share(_to_nearest(samples, self.train) < self.limit)}

    def of_real(self, real: RealImages) -> Computed:
        """Return the share of the test images, whose distances are known."""
        return {"memorised": share(self.test < self.limit)}


class ExactCopies(Metric):
    """Share of samples that equal a training image in every pixel."""

    values = described("exact_copies")

    def prepare(self, real: RealImages) -> None:
        """Remember every training image by a digest of its pixels."""
        self.known = set(_digests(real.train))

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"exact_copies": sum(one in self.known for one in _digests(samples)) / len(samples.labels)}

    def of_real(self, real: RealImages) -> Computed:
        """Return the share of the test images."""
        return self.compute(real.test.spread(min(real.n, len(real.test.labels))), real.reference)


def _limit(distances: Tensor, images: Tensor) -> float:
    return max(float(distances.quantile(TAIL)), COPY * images[0].numel() ** 0.5)


def _variances(images: Features, labels: list[int]) -> Tensor:
    return torch.stack([images.features[images.labels == label].double().var(0).sum() for label in labels])


def _to_twin(images: Tensor) -> Tensor:
    return nearest(images, images, same=True).distances


def _to_nearest(images: Features, reference: Features) -> Tensor:
    return nearest(images.images, reference.images).distances


def _digests(images: Features) -> Iterator[bytes]:
    return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.images.numpy())
