"""A residual pair with projection, for pictures of 32x32 and more."""

import math
from itertools import pairwise

from torch import Tensor, nn

from cgan.errors import CganError
from cgan.networks.base import Discriminator, Generator, divided
from cgan.networks.conditioning import Conditioning, LabelPlane, Norm, logit_head, normalise_weights
from cgan.networks.embedding import Classes


class _Residual(nn.Module):
    """``(x + f(x)) / sqrt 2``: two 3x3 convolutions; the divisor keeps the variance (Karras et al. 2020, section 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions found: (N, C, H, W) -> (N, C, H, W)."""
        return (x + self.layers(x)) / math.sqrt(2)


def _keep_variance(layers: nn.Module) -> None:
    """Start with weights that pass a signal on at its own size (He et al. 2015), as the residual blocks assume.

    torch's own shrink it by half or more with every layer: pictures of all latents would start as one grey, and the
    discriminator would win before the generator learns a thing.
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class ResNetGenerator(Generator):
    """``[z, embedding] -> h x w x channels[0]``, then per width a residual block and a doubling, tanh at the end.

    Doubling is bilinear after a 1x1 convolution. Without batch norm, so a picture never depends on its neighbours.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        channels: Channels at each size, from the smallest to the full one.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W); H and W are multiples of ``2 ** (len(channels) - 1)``.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: int = 64,
        embed_dim: int = 32,
        channels: tuple[int, ...] = (128, 64, 32),
    ) -> None:
        height, width = _smallest(img_shape, channels)
        layers: list[nn.Module] = [
            nn.Linear(z_dim + embed_dim, channels[0] * height * width),
            nn.Unflatten(1, (channels[0], height, width)),
            _Residual(channels[0]),
        ]
        for fan_in, fan_out in pairwise(channels):
            layers += [
                nn.Conv2d(fan_in, fan_out, kernel_size=1),
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                _Residual(fan_out),
            ]
        layers += [nn.LeakyReLU(0.2), nn.Conv2d(channels[-1], img_shape[0], kernel_size=3, padding=1), nn.Tanh()]
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        self.layers = nn.Sequential(*layers)
        _keep_variance(self.layers)


class ResNetDiscriminator(Discriminator):
    """The generator's mirror: per width a residual block and a halving, a hidden layer, one logit.

    No normalisation and no dropout, so gradient penalties apply.

    Args:
        channels: Channels at each size, from the full one to the smallest.
        hidden: Width of the hidden layer.
        conditioning: ``projection`` or ``concat`` (a learned label plane beside the image).
        norm: ``none`` or ``spectral``.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W); H and W are multiples of ``2 ** (len(channels) - 1)``.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        channels: tuple[int, ...] = (32, 64, 128),
        hidden: int = 256,
        conditioning: Conditioning = "projection",
        norm: Norm = "none",
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        height, width = _smallest(img_shape, channels)
        self.label = LabelPlane(num_classes, *img_shape[1:]) if conditioning == "concat" else None
        fan_in = img_shape[0] + (1 if self.label else 0)
        layers: list[nn.Module] = [nn.Conv2d(fan_in, channels[0], kernel_size=3, padding=1), _Residual(channels[0])]
        for fan_in, fan_out in pairwise(channels):
            layers += [nn.AvgPool2d(2), nn.Conv2d(fan_in, fan_out, kernel_size=1), _Residual(fan_out)]
        layers += [nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(channels[-1] * height * width, hidden), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        _keep_variance(self.features)
        self.head = logit_head(conditioning, hidden, num_classes)
        normalise_weights(self, norm)


def _smallest(img_shape: tuple[int, int, int], channels: tuple[int, ...]) -> tuple[int, int]:
    if not channels:
        raise CganError("model=resnet: channels= expects at least one width, found none")
    return divided(img_shape, 2 ** (len(channels) - 1), "model=resnet")
