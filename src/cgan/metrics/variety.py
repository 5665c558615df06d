"""Variety and copying: do samples of a class vary as real ones do, and are they new?"""

import torch
from torch import Tensor

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.neighbours import nearest, pixels
from cgan.metrics.values import described

TAIL = 0.01
"""Distances below this quantile of real images' distances count as suspiciously near, so real images have about 1 %."""


class VarianceRatio(Metric):
    """Variance of the features within a class over that of the reference: mean over classes, and the lowest."""

    values = described("variance_ratio", "variance_ratio_min")
    min_per_class = 2

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``variance_ratio`` and ``variance_ratio_min``."""
        ratios = torch.stack(
            [
                _variance(samples.of_class(label)) / _variance(reference.of_class(label))
                for label in reference.labels.unique().tolist()
            ]
        )
        return {"variance_ratio": float(ratios.mean()), "variance_ratio_min": float(ratios.min())}


class NearDuplicates(Metric):
    """Share of samples with another sample nearer than 99 % of equally many reference images have one, in pixels."""

    values = described("near_duplicates")

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``near_duplicates``."""
        real = pixels(reference.spread(len(samples.labels)).images)
        limit = nearest(real, real, same=True).distances.quantile(TAIL)
        drawn = pixels(samples.images)
        return {"near_duplicates": _share(nearest(drawn, drawn, same=True).distances < limit)}


class Memorised(Metric):
    """Share of samples nearer to a reference image than 99 % of the held-out images are, in pixels."""

    values = described("memorised")

    def prepare(self, real: RealImages) -> None:
        """Find the distance that 99 % of the held-out images keep."""
        self.limit = copy_limit(real.samples, real.reference)

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``memorised``."""
        return {"memorised": _share(_to_nearest(samples, reference) < self.limit)}


class ExactCopies(Metric):
    """Share of samples that equal a reference image in every pixel."""

    values = described("exact_copies")

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``exact_copies``."""
        known = {image.tobytes() for image in reference.images.numpy()}
        copies = sum(image.tobytes() in known for image in samples.images.numpy())
        return {"exact_copies": copies / len(samples.labels)}


def copy_limit(held_out: Features, reference: Features) -> float:
    """Return the distance, in pixels, that 99 % of the held-out images keep to their nearest reference image."""
    return float(_to_nearest(held_out, reference).quantile(TAIL))


def _variance(images: Features) -> Tensor:
    return images.features.double().var(0).sum()


def _to_nearest(images: Features, reference: Features) -> Tensor:
    return nearest(pixels(images.images), pixels(reference.images)).distances


def _share(hits: Tensor) -> float:
    return float(hits.double().mean())
