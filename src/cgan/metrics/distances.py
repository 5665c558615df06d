"""Distances between two sets of features, by torchmetrics: Fréchet, kernel, Inception score, and Fréchet per class."""

import math
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import described

KID_SUBSET = 1000
IS_SPLITS = 10


class FrechetDistance(Metric):
    """Fréchet distance between Gaussians fitted to the features, in float64; see :func:`frechet_distance`."""

    values = described("fid")

    def prepare(self, real: RealImages) -> None:
        """Compute the moments of the reference."""
        self.distance = Frechet(_parts(real.reference.features))

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``fid``."""
        return {"fid": self.distance(_parts(samples.features))}


class KernelDistance(Metric):
    """Kernel distance, cubic and unbiased: mean and deviation over 100 subsets of 1,000."""

    values = described("kid", "kid_deviation")
    min_samples = KID_SUBSET

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``kid`` and ``kid_deviation``."""
        from torchmetrics.image.kid import KernelInceptionDistance

        with _quiet_and_seeded():
            metric = KernelInceptionDistance(
                feature=_GivenFeatures(samples.features.shape[1]), subset_size=KID_SUBSET, sync_on_compute=False
            )
            metric.update(reference.features.double(), real=True)
            metric.update(samples.features.double(), real=False)
            mean, deviation = metric.compute()
        return {"kid": float(mean), "kid_deviation": float(deviation)}


class InceptionScore(Metric):
    """Inception score: mean and deviation over 10 splits; the reference is not used."""

    values = described("inception_score", "inception_score_deviation")
    min_samples = 2 * IS_SPLITS
    needs_classes = "imagenet"

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``inception_score`` and ``inception_score_deviation``."""
        from torchmetrics.image import inception

        with _quiet_and_seeded():
            metric = inception.InceptionScore(
                feature=_GivenFeatures(samples.logits.shape[1]), splits=IS_SPLITS, sync_on_compute=False
            )
            metric.update(samples.logits)
            mean, deviation = metric.compute()
        return {"inception_score": float(mean), "inception_score_deviation": float(deviation)}


class ClassDistances(Metric):
    """Fréchet distance of each class's samples to the reference images of that class."""

    values = described("class_fid")
    min_per_class = 2

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``class_fid``, a list with one number per class."""
        return {"class_fid": class_distances(samples, reference)}


class IntraClassDistance(Metric):
    """Mean and worst of the classes' Fréchet distances: unlike the distance over all classes they see a wrong label."""

    values = described("intra_fid_mean", "intra_fid_worst")
    min_per_class = 2

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``intra_fid_mean`` and ``intra_fid_worst``."""
        distances = torch.tensor(class_distances(samples, reference), dtype=torch.float64)
        present = distances[~distances.isnan()]
        return {"intra_fid_mean": float(present.mean()), "intra_fid_worst": float(present.max())}


class Frechet:
    """Fréchet distance to one set of points, whose mean and covariance are computed once, in float64.

    Args:
        reference: The points, (N, D) float, in parts.
    """

    def __init__(self, reference: Iterable[Tensor]) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance  # a second of imports that few need

        parts = list(reference)
        self.metric = FrechetInceptionDistance(
            feature=_GivenFeatures(parts[0].shape[1]), reset_real_features=False, sync_on_compute=False
        )
        for part in parts:
            self.metric.update(part.double(), real=True)

    def __call__(self, samples: Iterable[Tensor]) -> float:
        """Return ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of the means and covariances of both sets."""
        self.metric.reset()
        for part in samples:
            self.metric.update(part.double(), real=False)
        return max(float(self.metric.compute()), 0.0)  # rounding alone is below


def frechet_distance(samples: Features, reference: Features) -> float:
    """Return the Fréchet distance of two sets of features; see :class:`Frechet`."""
    return Frechet(_parts(reference.features))(_parts(samples.features))


def class_distances(samples: Features, reference: Features) -> list[float]:
    """Return the Fréchet distance of each class, NaN for a class without reference images."""
    present = set(reference.labels.unique().tolist())
    return [
        frechet_distance(samples.of_class(label), reference.of_class(label)) if label in present else math.nan
        for label in range(max(present) + 1)
    ]


def _parts(features: Tensor) -> Iterable[Tensor]:
    return features.split(5000)  # float64 copies of a part at a time


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
