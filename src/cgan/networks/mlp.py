"""The classic fully connected pair (Mirza & Osindero 2014, in the widely used 256-512-1024 form)."""

import math
from itertools import pairwise

from torch import Tensor, nn

from cgan.networks.base import Discriminator, Generator, Size
from cgan.networks.conditioning import Conditioning, LabelVector, Norm, logit_head, normalise_weights
from cgan.networks.dropout import Dropout
from cgan.networks.embedding import Classes


class MLPGenerator(Generator):
    """``[z, embedding] -> 256 -> 512 -> 1024 -> C * H * W``, batch norm and ReLU between, tanh at the end.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        hidden: Width of each hidden layer.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: Size = 100,
        embed_dim: Size = 10,
        hidden: tuple[Size, ...] = (256, 512, 1024),
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([z_dim + embed_dim, *hidden]):
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(
            *layers, nn.Linear(hidden[-1], math.prod(img_shape)), nn.Tanh(), nn.Unflatten(1, self.img_shape)
        )


class MLPDiscriminator(Discriminator):
    """``image -> 512 -> 256 -> logit`` with LeakyReLU 0.2 and dropout.

    Args:
        embed_dim: Length of the label embedding beside the pixels (conditioning ``concat``).
        hidden: Width of each hidden layer.
        dropout: Share of activations dropped in training.
        conditioning: Where the label enters: ``concat`` or ``projection``.
        norm: ``none`` or ``spectral``.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        embed_dim: Size = 10,
        hidden: tuple[Size, ...] = (512, 256),
        dropout: float = 0.3,
        conditioning: Conditioning = "concat",
        norm: Norm = "none",
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        self.label = LabelVector(num_classes, embed_dim) if conditioning == "concat" else None
        width = math.prod(img_shape) + (embed_dim if self.label else 0)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([width, *hidden]):
            layers += [nn.Linear(fan_in, fan_out), nn.LeakyReLU(0.2)]
            layers += [Dropout(dropout)] if dropout else []
        self.features = nn.Sequential(*layers)
        self.head = logit_head(conditioning, hidden[-1], num_classes)
        normalise_weights(self, norm)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Discriminate: (N, C, H, W) in [-1, 1] and (N,) int64 -> (N,) raw logits."""
        inputs = self.label(images, labels) if self.label else images.flatten(1)
        return self.head(self.features(inputs), labels)
