"""Images as features: each image goes through the extractor once, metrics compare two sets of features."""

import hashlib
from collections.abc import Iterable
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from cgan.seeding import torch_stream
from cgan.spec import DataSpec

Labelled = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 with their labels (N,) int64."""


class Extractor(nn.Module):
    """A frozen network that turns uint8 images into features; always in eval mode."""

    name: str  # stands in the protocol of every value made from its features
    classes: Literal["data", "imagenet", "none"] = "none"  # which ones its logits tell apart
    resize: str = "none"  # how it resizes images before reading them; part of the protocol
    accuracy: float | None = None  # share of held-out images read as labelled; None: not known, or no classes

    def check(self, spec: DataSpec) -> None:
        """Raise a CganError if it cannot read the images of ``spec``; the default reads all."""

    def fitted(self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str) -> "Extractor":
        """Return the extractor for a data set, on ``device``; by default itself, for all that ``check`` lets by.

        From ``test``, the held-out split, nothing may be learnt.
        """
        self.check(spec)
        return self.to(device)

    def train(self, mode: bool = True) -> Self:
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
    """A set of images with what an extractor made of them."""

    labels: Tensor  # (N,) int64, the requested classes
    features: Tensor  # (N, D) float32
    logits: Tensor  # (N, K) float32 of the extractor's own classes; K may be 0
    images: Tensor  # (N, C, H, W) uint8

    def at(self, index: Tensor) -> "Features":
        """Keep the images at ``index``: positions (M,) int64 or a mask (N,) bool."""
        return Features(*(column[index] for column in self))

    def spread(self, n: int) -> "Features":
        """Keep ``n`` images in the same class shares, whatever the order of the images."""
        return self if n == len(self.labels) else self.at(in_class_shares(self.labels, n))

    def of_class(self, label: int) -> "Features":
        """Keep one class."""
        return self.at(self.labels == label)


@torch.no_grad()
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


def in_class_shares(labels: Tensor, n: int) -> Tensor:
    """Return ``n`` positions of (N,) labels, in order, at even distances within each class.

    Every fourth image of ``0, 1, 2, 3, 0, 1, ...`` would be of one class.
    """
    return labels.argsort(stable=True)[evenly(len(labels), n)].sort().values


def share(hits: Tensor) -> float:
    """Return the share of (N,) bool that is true."""
    return float(hits.double().mean())


def labels_like(reference: Tensor, n: int) -> Tensor:
    """Return ``n`` labels with the histogram of ``reference``, sorted; rounding goes to the largest remainders.

    Equal class shares matter: samples with another histogram are at a distance though each image is perfect.
    """
    counts = reference.bincount()
    exact = counts.double() * n / len(reference)
    whole = exact.floor().long()
    missing = n - int(whole.sum())
    whole[(exact - whole).argsort(descending=True, stable=True)[:missing]] += 1
    return torch.arange(len(whole)).repeat_interleave(whole)


def labels_of_samples(spec: DataSpec, reference: Tensor, n: int, seed: int) -> Tensor:
    """Return the ``n`` labels, sorted, that a generator is measured with.

    In the shares of the reference; groups of alike images at random in these shares, as a generator without classes
    would draw them: in exact shares all counts would vary less than by chance.
    """
    if not spec.grouped:
        return labels_like(reference, n)
    return reference[torch.randint(len(reference), (n,), generator=torch_stream(seed))].sort().values


def hash_of(tensors: Iterable[Tensor]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of tensors' shapes and bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
