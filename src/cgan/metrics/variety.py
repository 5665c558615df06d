"""Variety and copying: do samples of a class vary as real ones do, and are they new?"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from cgan.metrics.features import Features, share
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.neighbours import nearest
from cgan.metrics.values import described

TAIL = 0.01
"""Distances below this quantile of real images' distances count as suspiciously near, so real images have about 1 %."""


class VarianceRatio(Metric):
    """Variance of the features within a class over that of the reference: mean over classes, and the lowest."""

    values = described("variance_ratio", "variance_ratio_min")
    min_per_class = 2

    def prepare(self, real: RealImages) -> None:
        self.labels = real.reference.labels.unique().tolist()
        self.variances = _variances(real.reference, self.labels)

    def compute(self, samples: Features, reference: Features) -> Computed:
        ratios = _variances(samples, self.labels) / self.variances
        return {"variance_ratio": float(ratios.mean()), "variance_ratio_min": float(ratios.min())}


class NearDuplicates(Metric):
    """Share of samples with another sample nearer than 99 % of equally many reference images have one, in pixels."""

    values = described("near_duplicates")

    def prepare(self, real: RealImages) -> None:
        self.limit = real.kept("twins", lambda: _to_twin(real.equal)).quantile(TAIL)

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"near_duplicates": share(_to_twin(samples) < self.limit)}


class Memorised(Metric):
    """Share of samples nearer to a reference image than 99 % of the held-out images are, in pixels."""

    values = described("memorised")

    def prepare(self, real: RealImages) -> None:
        self.held_out = real.kept("nearest", lambda: _to_nearest(real.samples, real.reference))
        self.limit = self.held_out.quantile(TAIL)

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"memorised": share(_to_nearest(samples, reference) < self.limit)}

    def of_real(self, real: RealImages) -> Computed:
        """Return the share of the held-out images, whose distances are known."""
        return {"memorised": share(self.held_out < self.limit)}


class ExactCopies(Metric):
    """Share of samples that equal a reference image in every pixel."""

    values = described("exact_copies")

    def prepare(self, real: RealImages) -> None:
        """Remember every reference image by a digest of its pixels."""
        self.known = set(_digests(real.reference))

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"exact_copies": sum(one in self.known for one in _digests(samples)) / len(samples.labels)}


def _variances(images: Features, labels: list[int]) -> Tensor:
    return torch.stack([images.features[images.labels == label].double().var(0).sum() for label in labels])


def _to_twin(images: Features) -> Tensor:
    return nearest(images.images, images.images, same=True).distances


def _to_nearest(images: Features, reference: Features) -> Tensor:
    return nearest(images.images, reference.images).distances


def _digests(images: Features) -> Iterator[bytes]:
    return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.images.numpy())
