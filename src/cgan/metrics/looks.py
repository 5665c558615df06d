"""What an extractor saw: each image is looked at once, every metric is a function of two looks."""

from typing import NamedTuple

import torch
from torch import Tensor

from cgan.metrics.base import Extractor


class Look(NamedTuple):
    """What an extractor saw of a set of images.

    Attributes:
        labels: (N,) int64, the classes that the images are meant to be.
        features: (N, D) float32.
        logits: (N, K) float32 of the extractor's own classes.
        images: (N, C, H, W) uint8, what was looked at.
    """

    labels: Tensor
    features: Tensor
    logits: Tensor
    images: Tensor

    def at(self, index: Tensor) -> "Look":
        """Keep the images at ``index``: positions (M,) int64 or a mask (N,) bool."""
        return Look(*(column[index] for column in self))

    def spread(self, n: int) -> "Look":
        """Keep ``n`` images at even distances: the class shares stay, also where the images are sorted by class."""
        return self.at(evenly(len(self.labels), n))

    def of_class(self, label: int) -> "Look":
        """Keep one class."""
        return self.at(self.labels == label)


def look(extractor: Extractor, images: Tensor, labels: Tensor, batch_size: int = 500) -> Look:
    """Show every image to the extractor once, on the extractor's device.

    Args:
        extractor: What looks.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        batch_size: Images at a time; changes speed and memory, not values.

    Returns:
        A look on the CPU.
    """
    device = next(extractor.parameters()).device
    seen = [[column.cpu() for column in extractor(some.to(device))] for some in images.split(batch_size)]
    features, logits = (torch.cat(column) for column in zip(*seen, strict=True))
    return Look(labels.cpu(), features, logits, images.cpu())


def evenly(count: int, n: int) -> Tensor:
    """Return ``n`` positions at even distances among ``count``: all of them, in order, where ``n`` is ``count``."""
    return torch.arange(n) * count // n


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
