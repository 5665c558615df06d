"""Distances between two sets of features, by torchmetrics: Fréchet, kernel, Inception score, and Fréchet per class."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from cgan.metrics.looks import Look

KID_SUBSET = 1000
IS_SPLITS = 10


def frechet_distance(samples: Look, reference: Look) -> dict[str, float]:
    """Fréchet distance between Gaussians fitted to the features (Heusel et al. 2017), in float64."""
    metric = FrechetInceptionDistance(feature=_GivenFeatures(samples.features.shape[1]), sync_on_compute=False)
    for looked, real in ((reference, True), (samples, False)):
        for features in looked.features.split(5000):  # float64 copies of a part at a time
            metric.update(features.double(), real=real)
    return {"fid": float(metric.compute())}


def kernel_distance(samples: Look, reference: Look) -> dict[str, float]:
    """Kernel distance, cubic (Binkowski et al. 2018): mean and deviation over 100 subsets of 1000; unbiased."""
    with _quiet_and_seeded():
        metric = KernelInceptionDistance(
            feature=_GivenFeatures(samples.features.shape[1]), subset_size=KID_SUBSET, sync_on_compute=False
        )
        metric.update(reference.features.double(), real=True)
        metric.update(samples.features.double(), real=False)
        mean, deviation = metric.compute()
    return {"kid": float(mean), "kid_deviation": float(deviation)}


def inception_score(samples: Look, reference: Look) -> dict[str, float]:
    """Inception score (Salimans et al. 2016), mean and deviation over 10 splits; no use is made of the reference."""
    with _quiet_and_seeded():
        metric = InceptionScore(
            feature=_GivenFeatures(samples.logits.shape[1]), splits=IS_SPLITS, sync_on_compute=False
        )
        metric.update(samples.logits)
        mean, deviation = metric.compute()
    return {"is": float(mean), "is_deviation": float(deviation)}


def class_distances(samples: Look, reference: Look) -> dict[str, float]:
    """Fréchet distance of each class's samples to the reference images of that class, as ``class_fid/LABEL``.

    Small counts lift it: compare with the floor's value of the same class only.
    """
    return {
        f"class_fid/{label}": frechet_distance(samples.of_class(label), reference.of_class(label))["fid"]
        for label in reference.labels.unique().tolist()
    }


def intra_class_distance(samples: Look, reference: Look) -> dict[str, float]:
    """Mean and worst of the classes' Fréchet distances: unlike the plain one it sees a wrong label."""
    values = torch.tensor(list(class_distances(samples, reference).values()), dtype=torch.float64)
    return {"intra_fid_mean": float(values.mean()), "intra_fid_worst": float(values.max())}


class _GivenFeatures(nn.Module):
    """Hands features that are known already to a torchmetrics metric."""

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
