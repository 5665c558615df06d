"""Variety and copying: do samples of a class vary as real ones do, and are they new?"""

import torch
from torch import Tensor

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.neighbours import nearest, pixels
from cgan.metrics.values import Description

TAIL = 0.01
"""Distances below this quantile of real images' distances count as suspiciously near, so real images have about 1 %."""


class VarianceRatio(Metric):
    """Variance of the features within a class over that of the reference: mean over classes, and the lowest."""

    values = (
        Description(
            "variance_ratio",
            "Variance ratio",
            "How much the images of a class vary, over how much real ones do: below 1 they are too alike, above 1 too "
            "scattered.",
            "near",
            target=1,
            low=0,
        ),
        Description(
            "variance_ratio_min",
            "Variance ratio, lowest class",
            "The variance ratio of the class where it is lowest.",
            "near",
            target=1,
            low=0,
        ),
    )
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

    values = (
        Description(
            "near_duplicates",
            "Near duplicates",
            "Share of the generated images that have a near twin among the generated images.",
            "at most real",
            low=0,
            high=1,
        ),
    )

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``near_duplicates``."""
        real = pixels(reference.spread(len(samples.labels)).images)
        limit = nearest(real, real, same=True).distances.quantile(TAIL)
        drawn = pixels(samples.images)
        return {"near_duplicates": _share(nearest(drawn, drawn, same=True).distances < limit)}


class Memorised(Metric):
    """Share of samples nearer to a reference image than 99 % of the held-out images are, in pixels."""

    values = (
        Description(
            "memorised",
            "Memorised",
            "Share of the generated images that are nearer to a training image than 99 % of unseen real images are.",
            "at most real",
            low=0,
            high=1,
        ),
    )

    def prepare(self, real: RealImages) -> None:
        """Find the distance that 99 % of the held-out images keep."""
        self.limit = copy_limit(real.samples, real.reference)

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``memorised``."""
        return {"memorised": _share(_to_nearest(samples, reference) < self.limit)}


class ExactCopies(Metric):
    """Share of samples that equal a reference image in every pixel."""

    values = (
        Description(
            "exact_copies",
            "Exact copies",
            "Share of the generated images that equal a training image in every pixel.",
            "near",
            target=0,
            low=0,
            high=1,
        ),
    )

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
