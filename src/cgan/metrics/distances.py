"""Distances between two sets of features, by torchmetrics: Fréchet, kernel, Inception score, and Fréchet per class."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from statistics import fmean

import torch
from torch import Tensor, nn

from cgan.metrics.features import Features, in_class_shares
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import described

PART = 5000
KID_SUBSET = 1000
KID_MOST = 100 * KID_SUBSET
"""More images than all subsets together have would only be copied."""
KEPT_NUMBERS = 2**24
"""Of the covariances of all classes: 128 MB in float64, and as much again while they are compared."""
IS_SPLITS = 10


class FrechetDistance(Metric):
    """Fréchet distance between Gaussians fitted to the features, in float64; a subclass may take other points."""

    values = described("fid")

    def points(self, images: Features) -> Iterable[Tensor]:
        """Return what is compared of the images: points (M, D) float, in parts, which are copied to float64 in turn."""
        return images.features.split(PART)

    def prepare(self, real: RealImages) -> None:
        self.distance = Frechet(self.points(real.reference))

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {self.values[0].name: self.distance(self.points(samples))}


class KernelDistance(Metric):
    """Kernel distance, cubic and unbiased: mean and deviation over 100 subsets of 1,000."""

    values = described("kid", "kid_deviation")
    min_samples = KID_SUBSET

    def compute(self, samples: Features, reference: Features) -> Computed:
        from torchmetrics.image.kid import KernelInceptionDistance

        with _quiet_and_seeded():
            metric = KernelInceptionDistance(
                feature=_GivenFeatures(samples.features.shape[1]), subset_size=KID_SUBSET, sync_on_compute=False
            )
            for images, real in ((reference, True), (samples, False)):
                count = len(images.features)
                metric.update(images.features[in_class_shares(images.labels, min(count, KID_MOST))].double(), real=real)
            mean, deviation = metric.compute()
        return {"kid": float(mean), "kid_deviation": float(deviation)}


class InceptionScore(Metric):
    """Inception score: mean and deviation over 10 splits; the reference is not used."""

    values = described("inception_score", "inception_score_deviation")
    min_samples = 2 * IS_SPLITS
    needs_classes = "imagenet"

    def compute(self, samples: Features, reference: Features) -> Computed:
        from torchmetrics.image import inception

        with _quiet_and_seeded():
            metric = inception.InceptionScore(
                feature=_GivenFeatures(samples.logits.shape[1]), splits=IS_SPLITS, sync_on_compute=False
            )
            metric.update(samples.logits)
            mean, deviation = metric.compute()
        return {"inception_score": float(mean), "inception_score_deviation": float(deviation)}


class IntraClassDistance(Metric):
    """Fréchet distance within each class, their mean and worst: unlike that over all classes they see a wrong label."""

    values = described("intra_fid_mean", "intra_fid_worst", "class_fid")
    min_per_class = 2

    def prepare(self, real: RealImages) -> None:
        self.distances = _ClassDistances(real.reference)

    def compute(self, samples: Features, reference: Features) -> Computed:
        by_class = self.distances(samples)
        present = [by_class[label] for label in reference.labels.unique()]  # NaN if a class has too few
        worst = math.nan if any(map(math.isnan, present)) else max(present)
        return {"intra_fid_mean": fmean(present), "intra_fid_worst": worst, "class_fid": by_class}


class Frechet:
    """Fréchet distance to one set of points, whose mean and covariance are computed once, in float64.

    Args:
        reference: The points, (N, D) float, in parts.
    """

    def __init__(self, reference: Iterable[Tensor]) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance  # a second of imports that few need

        parts = iter(reference)  # never all at once: pixel patches are many
        first = next(parts)
        self.metric = FrechetInceptionDistance(
            feature=_GivenFeatures(first.shape[1]), reset_real_features=False, sync_on_compute=False
        )
        for part in chain([first], parts):
            self.metric.update(part.double(), real=True)

    def __call__(self, samples: Iterable[Tensor]) -> float:
        """Return ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of the means and covariances of both sets."""
        self.metric.reset()
        for part in samples:
            self.metric.update(part.double(), real=False)
        return max(float(self.metric.compute()), 0.0)  # rounding alone is below


def frechet_distance(samples: Features, reference: Features) -> float:
    """Return the Fréchet distance of two sets of features; see :class:`Frechet`."""
    return Frechet(reference.features.split(PART))(samples.features.split(PART))


def class_distances(samples: Features, reference: Features) -> list[float]:
    """Return the Fréchet distance of each class, NaN for a class with fewer than 2 images in either set."""
    distances = _ClassDistances(reference)
    return distances(samples)


class _ClassDistances:
    """Fréchet distances of the classes; those of the reference are fitted once, unless they would fill the memory."""

    def __init__(self, reference: Features) -> None:
        self.reference = reference
        self.classes = int(reference.labels.max()) + 1
        small = self.classes * reference.features.shape[1] ** 2 <= KEPT_NUMBERS
        self.fitted = [self._fit(label) for label in range(self.classes)] if small else None

    def __call__(self, samples: Features) -> list[float]:
        found = []
        for label in range(self.classes):
            distance = self.fitted[label] if self.fitted else self._fit(label)
            some = samples.features[samples.labels == label]
            found.append(math.nan if distance is None or len(some) < 2 else distance(some.split(PART)))
        return found

    def _fit(self, label: int) -> "Frechet | None":
        some = self.reference.features[self.reference.labels == label]
        return None if len(some) < 2 else Frechet(some.split(PART))


class _GivenFeatures(nn.Module):
    """Passes features that are computed already to a torchmetrics metric."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features.view(-1, self.num_features).double()


@contextmanager
def _quiet_and_seeded() -> Iterator[None]:
    """Subsets are drawn from the global stream: always the same ones, and the caller's stream goes on untouched."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `.*` will save all extracted features")
        torch.manual_seed(0)
        yield
