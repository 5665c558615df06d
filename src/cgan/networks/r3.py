"""A residual pair without normalisation, in the form of R3GAN (Huang et al. 2024, arXiv:2501.05441, section 4)."""

import math
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.networks.base import CentreCrop, Discriminator, Generator, Size, base_grid
from cgan.networks.conditioning import ProjectionHead
from cgan.networks.embedding import Classes

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
GROUP = 16
GAIN = math.sqrt(2 / (1 + 0.2**2))


class ResidualBlock(nn.Module):
    """``x + 1x1(act(grouped 3x3(act(1x1(x)))))`` at twice the width between, act: a bias and LeakyReLU 0.2.

    The last convolution starts at 0, so that the block starts as the identity, and the others shrink with the number of
    blocks: then no normalisation is needed at any depth (Fixup, Zhang et al. 2019).

    Args:
        channels: Channels in and out; a multiple of 8, for 16 channels per group.
        blocks: Number of blocks in the network.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        inner = 2 * channels
        self.layers = nn.Sequential(
            _started(nn.Conv2d(channels, inner, kernel_size=1), GAIN * blocks**-0.25),
            nn.LeakyReLU(0.2),
            _started(nn.Conv2d(inner, inner, 3, padding=1, groups=inner // GROUP), GAIN * blocks**-0.25),
            nn.LeakyReLU(0.2),
            _started(nn.Conv2d(inner, channels, kernel_size=1, bias=False), 0.0),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions found: (N, C, H, W) -> (N, C, H, W)."""
        return x + self.layers(x)


class LearnedGrid(nn.Module):
    """Scale the channels of a learned map: (N, C) -> (N, C, H, W)."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.randn(channels, height, width))

    def forward(self, scales: Tensor) -> Tensor:
        """Multiply every channel of the map by its scale."""
        return scales[:, :, None, None] * self.grid


class R3Generator(Generator):
    """A learned grid times a linear map of ``[z, embedding]``, then residual blocks and bilinear doublings, tanh.

    Bilinear doubling is nearest doubling followed by the low-pass [1, 2, 1], so nothing of the smaller grid stays in
    the image. Widths double towards the base grid, up to four times the finest.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        width: Channels at full resolution; a multiple of 8.
        blocks: Residual blocks at each resolution.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Raises:
        CganError: ``width`` is no multiple of 8.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: Size = 64,
        embed_dim: Size = 32,
        width: Size = 16,
        blocks: Size = 1,
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        height, base_width, doublings = base_grid(img_shape)
        widths = _widths(width, doublings)[::-1]
        total = blocks * len(widths)
        layers: list[nn.Module] = [
            _started(nn.Linear(z_dim + embed_dim, widths[0], bias=False)),
            LearnedGrid(widths[0], height, base_width),
            *(ResidualBlock(widths[0], total) for _ in range(blocks)),
        ]
        for fan_in, fan_out in pairwise(widths):
            layers += [
                _started(nn.Conv2d(fan_in, fan_out, kernel_size=1, bias=False)),
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                *(ResidualBlock(fan_out, total) for _ in range(blocks)),
            ]
        layers += [_started(nn.Conv2d(width, img_shape[0], kernel_size=1), 0.5), nn.Tanh()]
        self.layers = nn.Sequential(*layers, CentreCrop(*img_shape[1:]))


class R3Discriminator(Discriminator):
    """The generator's mirror: residual blocks and halvings by the mean, a learned grid, a linear map, projection.

    Args:
        width: Channels at full resolution; a multiple of 8.
        blocks: Residual blocks at each resolution.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Raises:
        CganError: ``width`` is no multiple of 8.
    """

    def __init__(
        self, *, num_classes: Classes, img_shape: tuple[int, int, int], width: Size = 16, blocks: Size = 1
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        height, base_width, doublings = base_grid(img_shape)
        widths = _widths(width, doublings)
        total = blocks * len(widths)
        layers: list[nn.Module] = [
            _started(nn.Conv2d(img_shape[0], width, kernel_size=1, bias=False)),
            *(ResidualBlock(width, total) for _ in range(blocks)),
        ]
        for fan_in, fan_out in pairwise(widths):
            layers += [
                nn.AvgPool2d(2, ceil_mode=True),
                _started(nn.Conv2d(fan_in, fan_out, kernel_size=1, bias=False)),
                *(ResidualBlock(fan_out, total) for _ in range(blocks)),
            ]
        coarse = widths[-1]
        layers += [
            _started(nn.Conv2d(coarse, coarse, (height, base_width), groups=coarse, bias=False)),
            nn.Flatten(),
            _started(nn.Linear(coarse, coarse, bias=False)),
        ]
        self.label = None
        self.features = nn.Sequential(*layers)
        self.head = ProjectionHead(coarse, num_classes)


def _started(layer: Layer, gain: float = 1.0) -> Layer:
    """Draw weights that multiply a signal's deviation by ``gain``; biases start at 0."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _widths(width: int, doublings: int) -> list[int]:
    """Return the channels from full resolution down to the base grid.

    Raises:
        CganError: ``width`` is no multiple of 8.
    """
    if width < 8 or width % 8:
        raise CganError(f"model=r3: width={width}: expected a multiple of 8 (groups of {GROUP} in twice the width)")
    return [width * 2 ** min(depth, 2) for depth in range(doublings + 1)]
