"""A convolutional pair for CPUs: the work sits in small matrix products and cheap upsampling."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.networks.base import CentreCrop, Discriminator, Generator, Size, base_grid, deepened
from cgan.networks.conditioning import Conditioning, LabelPlane, Norm, logit_head, normalise_weights
from cgan.networks.embedding import Classes


class _CheapUpsample(nn.Sequential):
    """Double height and width: a 1x1 convolution mixes channels where the map is small, then bilinear, then depthwise.

    About a fifth of the cost of a 4x4 transposed convolution, forward and backward.
    """

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__(
            nn.Conv2d(fan_in, fan_out, kernel_size=1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            nn.Conv2d(fan_out, fan_out, kernel_size=3, padding=1, groups=fan_out),
            nn.LeakyReLU(0.2),
        )


class _LowPass(nn.Module):
    """Weight every pixel and its neighbours by [1, 2, 1] / 4 in both directions: (N, C, H, W) -> (N, C, H, W)."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rows = [[down * across / 16 for across in (1, 2, 1)] for down in (1, 2, 1)]
        kernel = torch.tensor([[rows]]).expand(channels, -1, -1, -1)  # `repeat` imports torch's compiler on `meta`
        self.register_buffer("kernel", kernel.contiguous(), persistent=False)  # a constant: in no checkpoint

    def forward(self, x: Tensor) -> Tensor:
        """Smooth each channel; beyond the border is 0, as in the convolutions around."""
        return F.conv2d(x, self.kernel, padding=1, groups=len(self.kernel))


class LightGenerator(Generator):
    """``[z, embedding] -> H/4 x W/4 x 2w -> H/2 x W/2 x w -> H x W x 4C -> H x W x C``, tanh at the end.

    Larger images start from a base grid of 4 to 8 pixels a side, with 4w channels and one more doubling each. Maps of
    full size are few and come from a sub-pixel convolution (Shi et al., arXiv:1609.05158): memory, not arithmetic, is
    what a CPU waits for. Colour and images above 32x32 get a low-pass there. Without batch norm, so an image never
    depends on its neighbours, in training or after.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        width: Channels w at half resolution.
        low_pass: Whether the last doubling is smoothed, against a screen of dots; None: in colour and above 32x32.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: Size = 64,
        embed_dim: Size = 32,
        width: Size = 32,
        low_pass: bool | None = None,
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        height, base_width, doublings = base_grid(img_shape)
        smooth = doublings > 2 or img_shape[0] > 1 if low_pass is None else low_pass
        coarse, *finer = deepened([width, 2 * width], doublings)[::-1]
        self.layers = nn.Sequential(
            nn.Linear(z_dim + embed_dim, coarse * height * base_width),
            nn.LeakyReLU(0.2),
            nn.Unflatten(1, (coarse, height, base_width)),
            *(_CheapUpsample(fan_in, fan_out) for fan_in, fan_out in pairwise([coarse, *finer])),
            *_sub_pixels(width, img_shape[0], smooth=smooth),
            nn.Tanh(),
            CentreCrop(*img_shape[1:]),
        )


def _sub_pixels(width: int, channels: int, smooth: bool) -> list[nn.Module]:
    """Return the layers of the last doubling: a convolution for each of four sub-pixels, then one of them all.

    Args:
        width: Channels at half resolution.
        channels: Channels of the image.
        smooth: Low-pass the sub-pixels by [1, 2, 1] in both directions. The four differ, which leaves a screen of dots
            of period 2; the low-pass is 0 at that period. Small grey images train without: none is seen there.
    """
    first = nn.Conv2d(width, 16 * channels, kernel_size=3, padding=1)
    fine = [nn.PixelShuffle(2), _LowPass(4 * channels), nn.LeakyReLU(0.2)]
    between = fine if smooth else [nn.LeakyReLU(0.2), nn.PixelShuffle(2)]
    return [first, *between, nn.Conv2d(4 * channels, channels, kernel_size=3, padding=1)]


class LightDiscriminator(Discriminator):
    """Three small stride-2 convolutions, one hidden layer, one logit; no normalisation and no dropout.

    Args:
        channels: Channels after each stride-2 convolution; larger images add some, with twice the last.
        hidden: Width of the hidden layer.
        conditioning: ``projection`` or ``concat`` (a learned label plane beside the image).
        norm: ``none`` or ``spectral``.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        channels: tuple[Size, ...] = (16, 32, 64),
        hidden: Size = 256,
        conditioning: Conditioning = "projection",
        norm: Norm = "none",
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        _, height, width = img_shape
        self.label = LabelPlane(num_classes, height, width) if conditioning == "concat" else None
        layers: list[nn.Module] = []
        fan_in = img_shape[0] + (1 if self.label else 0)
        for fan_out in deepened(channels, base_grid(img_shape)[2]):
            layers += [nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.2)]
            fan_in, height, width = fan_out, -(-height // 2), -(-width // 2)
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(fan_in * height * width, hidden), nn.LeakyReLU(0.2)
        )
        self.head = logit_head(conditioning, hidden, num_classes)
        normalise_weights(self, norm)
