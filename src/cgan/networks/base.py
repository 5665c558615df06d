"""The interfaces of every generator and every discriminator, with what all of this project's networks share."""

import inspect
import math
from typing import Any, Self

import torch
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.networks.embedding import ClassEmbedding, Classes, factors_of
from cgan.spec import DataSpec


class _Described(nn.Module):
    """A module that remembers the plain values it was built from, so that a checkpoint can explain itself.

    Attributes:
        config: Every constructor argument by name, defaults included; plain values only.
        factors: Lengths of the factors whose combinations are the classes; ``(num_classes,)`` for plain classes.
        num_classes: Number of classes K, all combinations counted.
    """

    config: dict[str, Any]

    def __new__(cls, **config: Any) -> Self:
        module = super().__new__(cls)
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(cls.__init__).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        module.__dict__["config"] = {name: _plain(value) for name, value in {**defaults, **config}.items()}
        return module

    def __init__(self, *, num_classes: Classes, img_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.factors = factors_of(num_classes)
        self.num_classes = math.prod(self.factors)
        self.img_shape = (img_shape[0], img_shape[1], img_shape[2])


class Generator(_Described):
    """Draw images of given classes from latents: ``forward(z, labels) = synthesize(z, embed(labels))``.

    ``embed`` and ``synthesize`` are apart so that two classes can be blended by blending their embeddings. A subclass
    sets ``layers``, or defines ``synthesize`` itself.

    Args:
        z_dim: Length Z of a latent; latents are drawn from N(0, 1).
        embed_dim: Length E of a class embedding.
        num_classes: Number of classes K, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Attributes:
        spec: The data set it was trained on; set where it is known.
        layers: ``[z, embedding] (N, Z + E) -> (N, C, H, W)`` in [-1, 1].
    """

    spec: DataSpec | None = None
    layers: nn.Module

    def __init__(self, *, z_dim: int, embed_dim: int, num_classes: Classes, img_shape: tuple[int, int, int]) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        self.z_dim = z_dim
        self.embedding = ClassEmbedding(num_classes, embed_dim)

    def embed(self, labels: Tensor) -> Tensor:
        """Look up the classes: (N,) int64 -> (N, E)."""
        return self.embedding(labels)

    def synthesize(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Draw: (N, Z) and (N, E) -> (N, C, H, W) in [-1, 1]."""
        return self.layers(torch.cat([z, embedding], dim=1))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw: (N, Z) and (N,) int64 -> (N, C, H, W) in [-1, 1]."""
        return self.synthesize(z, self.embed(labels))


class Discriminator(_Described):
    """Tell real from generated images of given classes: ``head(features([image, label]), label)``.

    A subclass sets the three parts, or defines ``forward`` itself; see :mod:`cgan.networks.conditioning`.

    Attributes:
        label: Puts the class beside the image; None where only the head reads it.
        features: ``(N, C or C + 1, H, W) -> (N, F)``.
        head: ``(N, F) and labels (N,) -> logits (N,)``.
    """

    label: nn.Module | None
    features: nn.Module
    head: nn.Module

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Discriminate: (N, C, H, W) in [-1, 1] and (N,) int64 -> (N,) raw logits, never a sigmoid."""
        inputs = self.label(images, labels) if self.label else images
        return self.head(self.features(inputs), labels)


def divided(img_shape: tuple[int, int, int], by: int, who: str) -> tuple[int, int]:
    """Return ``(H / by, W / by)``.

    Raises:
        CganError: A side is not a multiple of ``by``.
    """
    _, height, width = img_shape
    if height % by or width % by:
        raise CganError(f"{who}: expected a height and width that {by} divides, found {height}x{width}; use model=mlp")
    return height // by, width // by


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
