"""The interfaces of every generator and every discriminator, with what all of this project's networks share."""

import inspect
import math
from collections.abc import Sequence
from typing import Annotated, Any, Self, get_args, get_origin

import torch
from torch import Tensor, nn

from cgan.errors import CganError, check_whole
from cgan.networks.embedding import ClassEmbedding, Classes, factors_of
from cgan.spec import DataSpec

_SIZE = "from 1"
Size = Annotated[int, _SIZE]
"""A whole number from 1: whatever a constructor annotates so, alone or in a tuple, is checked before it runs."""


class _Described(nn.Module):
    """A module that remembers the plain values it was built from, so that a checkpoint can explain itself.

    Attributes:
        config: Every constructor argument by name, defaults included; plain values only.
        factors: Lengths of the factors whose combinations are the classes; ``(num_classes,)`` for plain classes.
        num_classes: Number of classes K, all combinations counted.

    Raises:
        CganError: A :data:`Size` is no whole number from 1, or a switch neither true nor false.
    """

    config: dict[str, Any]
    key: str

    def __new__(cls, **config: Any) -> Self:
        module = super().__new__(cls)
        parameters = inspect.signature(cls.__init__).parameters
        defaults = {
            name: parameter.default
            for name, parameter in parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        module.__dict__["config"] = {name: _plain(value) for name, value in {**defaults, **config}.items()}
        for name, value in module.config.items():
            annotation = parameters[name].annotation if name in parameters else None
            if _is_size(annotation):
                _check_size(f"{cls.key}.{name}", value, annotation)
            elif bool in (annotation, *get_args(annotation)):
                _check_bool(f"{cls.key}.{name}", value, annotation)
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

    key = "model.generator"
    spec: DataSpec | None = None
    layers: nn.Module

    def __init__(self, *, z_dim: Size, embed_dim: Size, num_classes: Classes, img_shape: tuple[int, int, int]) -> None:
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


class StyleBased(Generator):
    """A generator with styles w between latent and image: ``synthesize(z, embedding) = paint(map(z, embedding))``.

    Styles can be mixed (coarse layers of one, fine ones of another), interpolated, and moved towards the mean of their
    class. A subclass defines ``map`` and ``paint``, and keeps ``mean_w`` in training.

    Args:
        w_dim: Length W of the style of a layer.
        style_layers: Number of layers L that take a style, the coarsest first.
        sizes: As for ``Generator``.

    Attributes:
        mean_w: (K, W), the mean style of each class.
    """

    mean_w: Tensor

    def __init__(self, *, w_dim: int, style_layers: int, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.style_layers = style_layers
        self.register_buffer("mean_w", torch.zeros(self.num_classes, w_dim))

    def map(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Map latents to styles: (N, Z) and (N, E) -> (N, L, W)."""
        raise NotImplementedError

    def paint(self, w: Tensor) -> Tensor:
        """Draw styles: (N, L, W) -> (N, C, H, W) in [-1, 1]."""
        raise NotImplementedError

    def synthesize(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Draw: (N, Z) and (N, E) -> (N, C, H, W) in [-1, 1]."""
        return self.paint(self.map(z, embedding))


class Discriminator(_Described):
    """Tell real from generated images of given classes: ``head(features([image, label]), label)``.

    A subclass sets the three parts, or defines ``forward`` itself; see ``cgan.networks.conditioning``.

    Attributes:
        label: Puts the class beside the image; None where only the head reads it.
        features: ``(N, C or C + 1, H, W) -> (N, F)``.
        head: ``(N, F) and labels (N,) -> logits (N,)``.
    """

    key = "model.discriminator"
    label: nn.Module | None
    features: nn.Module
    head: nn.Module

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Discriminate: (N, C, H, W) in [-1, 1] and (N,) int64 -> (N,) raw logits, never a sigmoid."""
        inputs = self.label(images, labels) if self.label else images
        return self.head(self.features(inputs), labels)


def base_grid(img_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the smallest map of a convolutional network, ``(h, w)`` of 4 to 8 pixels a side, and its doublings n.

    ``h * 2**n`` and ``w * 2**n`` are the image's size or the next larger one, to be cut by ``CentreCrop``: 28x28
    is 7x7 doubled twice. Sides below 16 start from fewer pixels, the longer side of an elongated image from more.
    """
    _, height, width = img_shape
    doublings = 2
    while max(height, width) > 8 << doublings and min(height, width) > 6 << doublings:
        doublings += 1
    return -(-height >> doublings), -(-width >> doublings), doublings


def deepened(channels: Sequence[int], doublings: int) -> list[int]:
    """Lengthen widths, from fine to coarse, that suit two doublings: twice the last for every doubling more."""
    return [*channels, *[2 * last for last in channels[-1:]] * (doublings - 2)]


class CentreCrop(nn.Module):
    """Cut the middle out of larger maps: (N, C, at least H, at least W) -> (N, C, H, W)."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Leave out as much at both ends, one more at the end of a side with an odd excess."""
        height, width = self.size
        top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
        return x[:, :, top : top + height, left : left + width]


def _is_size(annotation: Any) -> bool:
    return any(_SIZE in getattr(kind, "__metadata__", ()) for kind in (annotation, *get_args(annotation)))


def _check_size(key: str, value: Any, annotation: Any) -> None:
    """Raise a CganError unless a value is the size, or the list of sizes, that its annotation asks for."""
    if get_origin(annotation) is tuple:
        if not isinstance(value, list) or not value:
            raise CganError(f"{key}={value}: expected a list of whole numbers from 1")
        for number in value:
            check_whole(key, number, 1)
    elif value is not None or type(None) not in get_args(annotation):
        check_whole(key, value, 1)


def _check_bool(key: str, value: Any, annotation: Any) -> None:
    """Raise a CganError unless a value is true or false, or None where its annotation has that."""
    if not isinstance(value, bool) and (value is not None or type(None) not in get_args(annotation)):
        raise CganError(f"{key}={value}: expected true or false")


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
