"""One look at the samples, every metric: an extractor sees each image once, metrics are functions of two looks."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from cgan.errors import CganError
from cgan.metrics.base import Extractor


class Look(NamedTuple):
    """What an extractor saw of a set of images.

    Attributes:
        labels: (N,) int64, the classes that the images are meant to be.
        features: (N, D) float32.
        logits: (N, K) float32 of the extractor's own classes.
    """

    labels: Tensor
    features: Tensor
    logits: Tensor

    def first(self, n: int) -> "Look":
        """Keep the first ``n`` images."""
        return Look(*(column[:n] for column in self))


Metric = Callable[[Look, Look], dict[str, float]]
"""``(samples, reference) -> values by name``."""


def look(extractor: Extractor, batches: Iterable[tuple[Tensor, Tensor]]) -> Look:
    """Show every image to the extractor once.

    Args:
        extractor: What looks.
        batches: Pairs of images (N, C, H, W) uint8 and labels (N,).

    Returns:
        A look on the CPU.
    """
    seen = [(labels, *extractor(images)) for images, labels in batches]
    return Look(*(torch.cat(column).cpu() for column in zip(*seen, strict=True)))


def in_batches(images: Tensor, labels: Tensor, batch_size: int = 500) -> Iterable[tuple[Tensor, Tensor]]:
    """Split images and labels that are in memory into batches for :func:`look`."""
    return zip(images.split(batch_size), labels.split(batch_size), strict=True)


def labels_like(reference: Tensor, n: int) -> Tensor:
    """Return ``n`` labels with the histogram of ``reference``, sorted; rounding goes to the largest remainders.

    Equal class shares matter: a sample with another histogram is at a distance though each picture is perfect.
    """
    counts = reference.bincount()
    share = counts.double() * n / len(reference)
    whole = share.floor().long()
    missing = n - int(whole.sum())
    whole[(share - whole).argsort(descending=True, stable=True)[:missing]] += 1
    return torch.arange(len(whole)).repeat_interleave(whole)


def frechet_distance(samples: Look, reference: Look) -> dict[str, float]:
    """Fréchet distance between Gaussians fitted to the features (Heusel et al. 2017), by torchmetrics in float64."""
    features = _GivenFeatures(samples.features.shape[1])
    metric = FrechetInceptionDistance(feature=features)
    metric.update(reference.features.double(), real=True)
    metric.update(samples.features.double(), real=False)
    return {"fid": float(metric.compute())}


def label_agreement(samples: Look, reference: Look) -> dict[str, float]:
    """Share of samples that the extractor's own classifier reads as the class that was asked for."""
    right = samples.logits.argmax(1) == samples.labels
    return {"label_agreement": float(right.double().mean())}


METRICS: dict[str, Metric] = {"fid": frechet_distance, "label_agreement": label_agreement}


class _GivenFeatures(nn.Module):
    """Hands features that are known already to a torchmetrics metric."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features.view(-1, self.num_features).double()


class Suite:
    """Metrics of samples against a reference split, each with a tag that names its protocol.

    Args:
        reference: A look at the whole reference split.
        extractor: What looked; its name stands in the tags.
        metrics: Which of :data:`METRICS` to compute.
        n: Number of samples that the values are for.

    Raises:
        CganError: A metric does not exist or cannot be computed from these features.
    """

    def __init__(self, reference: Look, extractor: Extractor, metrics: list[str], n: int) -> None:
        if unknown := [name for name in metrics if name not in METRICS]:
            raise CganError(f"quality.metrics: no metric {unknown[0]!r}; choose among {', '.join(METRICS)}")
        if n < 2:
            raise CganError(f"quality.n={n}: expected at least 2 samples")
        if "label_agreement" in metrics and not extractor.reads_labels:
            raise CganError(f"quality.metrics: {extractor.name} features read no labels; leave label_agreement out")
        self.reference = reference
        self.extractor_name = extractor.name
        self.metrics = metrics
        self.n = n

    def tag(self, name: str) -> str:
        """Return a value's name with its protocol: ``fid`` -> ``fid_digits_10k``; shares of samples need none."""
        if name == "label_agreement":
            return name
        count = f"{self.n // 1000}k" if self.n % 1000 == 0 else str(self.n)
        return f"{name}_{self.extractor_name}_{count}"

    def measure(self, samples: Look) -> dict[str, float]:
        """Compute every metric of ``n`` samples, by tag.

        Raises:
            CganError: There are fewer than ``n`` samples, or their features are not finite.
        """
        if len(samples.labels) != self.n:
            raise CganError(f"expected {self.n} samples, found {len(samples.labels)}")
        if not samples.features.isfinite().all():
            raise CganError("the samples' features are not finite: the generator draws NaN or infinity")
        values: dict[str, float] = {}
        for name in self.metrics:
            values |= METRICS[name](samples, self.reference)
        return {self.tag(name): value for name, value in values.items()}
