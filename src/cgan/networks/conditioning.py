"""How a discriminator learns the class: at its input (concat) or at its output (projection)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cgan.errors import CganError
from cgan.networks.embedding import ClassEmbedding, Classes

Conditioning = Literal["concat", "projection"]
Norm = Literal["none", "spectral"]


class LabelPlane(nn.Module):
    """Put the label beside the image as one more learned channel: (N, C, H, W) -> (N, C + 1, H, W)."""

    def __init__(self, num_classes: Classes, height: int, width: int) -> None:
        super().__init__()
        self.size = (1, height, width)
        self.plane = ClassEmbedding(num_classes, height * width)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Append the plane of each image's label."""
        return torch.cat([images, self.plane(labels).view(-1, *self.size)], dim=1)


class LabelVector(nn.Module):
    """Put a label embedding beside the flattened image: (N, C, H, W) -> (N, C * H * W + embed_dim)."""

    def __init__(self, num_classes: Classes, embed_dim: int) -> None:
        super().__init__()
        self.vector = ClassEmbedding(num_classes, embed_dim)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Append the embedding of each image's label."""
        return torch.cat([images.flatten(1), self.vector(labels)], dim=1)


class LogitHead(nn.Module):
    """Turn features into one logit, the same way for every class: (N, F) -> (N,)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the logit of the features; the labels were seen at the input."""
        return self.linear(features).squeeze(1)


class ProjectionHead(LogitHead):
    """Projection discriminator (Miyato & Koyama 2018, eq. 3): ``l(h) + <E(y), h> / sqrt(F)``, (N, F) -> (N,).

    The factor ``1 / sqrt(F)``, as in StyleGAN2-ADA, keeps both terms of one size at the start where embeddings start as
    N(0, 1). With DCGAN's smaller start, and under spectral normalisation, the label's term is the smaller one.
    """

    def __init__(self, features: int, num_classes: Classes) -> None:
        super().__init__(features)
        self.projection = ClassEmbedding(num_classes, features)
        self.scale = 1 / math.sqrt(features)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the logit of the features, compared with the embedding of their label."""
        return super().forward(features, labels) + (self.projection(labels) * features).sum(1) * self.scale


def logit_head(conditioning: Conditioning, features: int, num_classes: Classes) -> LogitHead:
    """Build the output side of a conditioning.

    Raises:
        CganError: There is no such conditioning.
    """
    if conditioning == "projection":
        return ProjectionHead(features, num_classes)
    if conditioning == "concat":
        return LogitHead(features)
    raise CganError(f"model.discriminator.conditioning={conditioning}: expected concat or projection")


def normalise_weights(module: nn.Module, norm: Norm) -> None:
    """Divide every weight matrix of ``module`` by its largest singular value when ``norm`` is ``spectral``.

    Spectral normalisation (Miyato et al. 2018), one power iteration per training forward; label embeddings included.

    Raises:
        CganError: There is no such norm.
    """
    if norm not in ("none", "spectral"):
        raise CganError(f"model.discriminator.norm={norm}: expected none or spectral")
    if norm == "spectral":
        for layer in list(module.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
                parametrizations.spectral_norm(layer)
