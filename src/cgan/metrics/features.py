"""Images as features: each image goes through the extractor once, metrics compare two sets of features."""

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from cgan.spec import DataSpec

Labelled = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 with their labels (N,) int64."""


class Extractor(nn.Module):
    """A frozen network that turns uint8 images into features; always in eval mode.

    Attributes:
        name: Stands in the protocol of every value made from its features.
        classes: What its logits tell apart: the classes of the ``data``, those of ``imagenet``, or ``none``.
        resize: How it resizes images before reading them; part of the protocol.
        accuracy: Share of held-out images that its logits read as labelled; None: not known, or no classes.
    """

    name: str
    classes: Literal["data", "imagenet", "none"] = "none"
    resize: str = "none"
    accuracy: float | None = None

    def check(self, spec: DataSpec) -> None:
        """Refuse images that it cannot read; the default reads all.

        Raises:
            CganError: The images of ``spec`` have a shape or classes that do not fit.
        """

    def fitted(self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str) -> "Extractor":
        """Return the extractor for a data set, on ``device``; by default itself, for all that :meth:`check` lets by.

        Args:
            spec: The data set.
            train: Its training split.
            test: Its held-out split, which nothing may be learnt from.
            device: Where to compute.

        Raises:
            CganError: The images do not fit.
        """
        self.check(spec)
        return self.to(device)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever a parent module asks for."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, D) and logits (N, K), both float32; K is 0 without classes."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where its weights lie."""
        return next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))

    def weights_hash(self) -> str:
        """Return 16 hexadecimal digits that name its weights: with others, no value is comparable."""
        state = self.state_dict()
        return hash_of(state[name] for name in sorted(state))


class Features(NamedTuple):
    """A set of images with what an extractor made of them.

    Attributes:
        labels: (N,) int64, the requested classes.
        features: (N, D) float32.
        logits: (N, K) float32 of the extractor's own classes; K may be 0.
        images: (N, C, H, W) uint8.
    """

    labels: Tensor
    features: Tensor
    logits: Tensor
    images: Tensor

    def at(self, index: Tensor) -> "Features":
        """Keep the images at ``index``: positions (M,) int64 or a mask (N,) bool."""
        return Features(*(column[index] for column in self))

    def spread(self, n: int) -> "Features":
        """Keep ``n`` images at even distances: the class shares stay, also where the images are sorted by class."""
        return self if n == len(self.labels) else self.at(evenly(len(self.labels), n))

    def of_class(self, label: int) -> "Features":
        """Keep one class."""
        return self.at(self.labels == label)


def extract(extractor: Extractor, images: Tensor, labels: Tensor, batch_size: int = 500) -> Features:
    """Send every image through the extractor once, on the extractor's device.

    Args:
        extractor: The network.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        batch_size: Images at a time; changes speed and memory, not values.

    Returns:
        Features on the CPU.
    """
    device = extractor.device
    parts = [[column.cpu() for column in extractor(some.to(device))] for some in images.split(batch_size)]
    features, logits = (torch.cat(column) for column in zip(*parts, strict=True))
    return Features(labels.cpu(), features, logits, images.cpu())


def evenly(count: int, n: int) -> Tensor:
    """Return ``n`` positions at even distances among ``count``: all of them, in order, where ``n`` is ``count``."""
    return torch.arange(n) * count // n


def labels_like(reference: Tensor, n: int) -> Tensor:
    """Return ``n`` labels with the histogram of ``reference``, sorted; rounding goes to the largest remainders.

    Equal class shares matter: samples with another histogram are at a distance though each image is perfect.
    """
    counts = reference.bincount()
    share = counts.double() * n / len(reference)
    whole = share.floor().long()
    missing = n - int(whole.sum())
    whole[(share - whole).argsort(descending=True, stable=True)[:missing]] += 1
    return torch.arange(len(whole)).repeat_interleave(whole)


def hash_of(tensors: Iterable[Tensor]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of tensors' shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
