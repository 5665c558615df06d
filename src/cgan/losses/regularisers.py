"""Regularisers of the generator: terms of its loss that do not ask the discriminator."""

from typing import Protocol

import torch
from torch import Tensor

from cgan.errors import check_number
from cgan.networks.base import Generator


class Regulariser(Protocol):
    """A term of the generator's loss that depends on the generator alone."""

    def __call__(self, generator: Generator, z: Tensor, labels: Tensor, fake: Tensor) -> Tensor:
        """Return a scalar to minimise.

        Args:
            generator: The network that learns.
            z: (N, z_dim) latents.
            labels: (N,) classes.
            fake: (N, C, H, W), what the generator drew from both, with its graph.
        """


class ModeSeeking:
    """``weight / (|G(z, y) - G(z', y)| / |z - z'|)``, means of absolute differences (Mao et al. 2019, eq. 4).

    Two latents of one class must give two images: it works against a generator that ignores its latent. ``z'`` is
    drawn anew, so a step costs one more forward and backward pass of the generator.

    Args:
        weight: The paper's lambda.
    """

    def __init__(self, weight: float) -> None:
        check_number("regulariser.weight", weight, 0)
        self.weight = weight

    def __call__(self, generator: Generator, z: Tensor, labels: Tensor, fake: Tensor) -> Tensor:
        """Penalise images that differ little where their latents differ much."""
        other = torch.randn_like(z)
        ratio = (fake - generator(other, labels)).abs().mean() / (z - other).abs().mean()
        return self.weight / (ratio + 1e-5)  # as the authors' code: bounded where all images are alike
