"""A style-based generator (Karras et al. 2019, 2020), in a size for CPUs and one for GPUs.

Its convolutions are modulated: a style scales their input's channels, and their output is brought back to unit
variance, ``d * conv(s * x)``.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.errors import check_share
from cgan.networks.base import CentreCrop, Size, StyleBased, base_grid
from cgan.networks.embedding import Classes

MEAN_W_IMAGES = 500
"""Images of a class whose mean style is kept: a plain mean up to this many, then a running one."""
_GAIN = math.sqrt(2)  # LeakyReLU halves the energy of its input


class _Modulated(nn.Module):
    """What modulated convolutions share: the scales ``s = A(w)``, weights and biases.

    Args:
        w_dim: Length W of a style.
        fan_in: Channels of the input.
        fan_out: Channels of the output.
        size: Side of the kernel.
    """

    def __init__(self, w_dim: int, fan_in: int, fan_out: int, size: int) -> None:
        super().__init__()
        self.scales = nn.Linear(w_dim, fan_in)
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in, size, size))
        self.bias = nn.Parameter(torch.empty(fan_out))
        nn.init.kaiming_normal_(self.scales.weight, nonlinearity="linear")
        nn.init.ones_(self.scales.bias)
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")
        nn.init.zeros_(self.bias)


class DenseConv(_Modulated):
    """Modulated 3x3 convolution: ``sqrt(2) * d * conv(s * x) + b`` with ``d = 1 / |s * weight|`` (2020, section 2.2).

    The scales are on maps and not, image by image, on the weights, which would need a group of convolutions per image.
    """

    def __init__(self, w_dim: int, fan_in: int, fan_out: int) -> None:
        super().__init__(w_dim, fan_in, fan_out, size=3)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolve: (N, fan_in, H, W) and (N, w_dim) -> (N, fan_out, H, W)."""
        scales = self.scales(w)
        demodulation = _GAIN * (scales.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        x = F.conv2d(x * scales[:, :, None, None], self.weight, padding=1)
        return torch.addcmul(self.bias[:, None, None], x, demodulation[:, :, None, None])


class SeparableConv(_Modulated):
    """The same from a 1x1 and a depthwise 3x3 convolution: a ninth of the work.

    All scales are on the weights of the 1x1 convolution, which is one matrix product per image.
    """

    def __init__(self, w_dim: int, fan_in: int, fan_out: int) -> None:
        super().__init__(w_dim, fan_in, fan_out, size=1)
        self.depthwise = nn.Parameter(torch.empty(fan_out, 1, 3, 3))
        nn.init.kaiming_normal_(self.depthwise, nonlinearity="linear")

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolve: (N, fan_in, H, W) and (N, w_dim) -> (N, fan_out, H, W)."""
        weight = self.weight.flatten(1) * self.scales(w).unsqueeze(1)
        energy = weight.square().sum(2) * self.depthwise.square().sum((1, 2, 3))
        x = _pointwise(x, weight * _GAIN * (energy + 1e-8).rsqrt().unsqueeze(2))
        return F.conv2d(x, self.depthwise, self.bias, padding=1, groups=len(self.bias))


class _ToImage(_Modulated):
    """A modulated 1x1 convolution to the channels of the image, without demodulation."""

    def __init__(self, w_dim: int, fan_in: int, channels: int) -> None:
        super().__init__(w_dim, fan_in, channels, size=1)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Convolve: (N, fan_in, H, W) and (N, w_dim) -> (N, C, H, W)."""
        return _pointwise(x, self.weight.flatten(1) * self.scales(w).unsqueeze(1)) + self.bias[:, None, None]


class _StyledLayer(nn.Module):
    """A modulated convolution, on request a doubling, then noise and LeakyReLU 0.2.

    Noise is fresh in training, and afterwards the same for every image, so that a latent names an image.

    Args:
        convolve: ``(N, fan_in, H, W), (N, w_dim) -> (N, fan_out, H, W)``.
        size: Height and width of the output.
        doubles: Whether these are twice those of the input; it is convolved first, where it is small.
    """

    noise: Tensor

    def __init__(self, convolve: nn.Module, size: tuple[int, int], *, doubles: bool = False) -> None:
        super().__init__()
        self.convolve = convolve
        self.doubles = doubles
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, *size))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Draw on: (N, fan_in, H, W) and (N, w_dim) -> (N, fan_out, *size)."""
        x = self.convolve(x, w)
        x = _doubled(x) if self.doubles else x
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise
        return F.leaky_relu(x + self.strength * noise, 0.2)


class StyleGenerator(StyleBased):
    """``[z, embedding] -> w``; from a learned constant, per size two styled layers and a share of the image.

    The base grid has 4 to 8 pixels a side and doubles until it covers the image, which is its middle.
    The shares of all sizes are added up (skips), then tanh. In training some images take the styles of their fine
    layers from a second latent, so that latents can be mixed afterwards.

    Args:
        z_dim: Length of a latent, which is brought to unit variance.
        embed_dim: Length of a label embedding.
        w_dim: Length W of a style.
        width: Channels at full resolution, doubled with every halving of the side ...; None: 24 up to 32x32, half as
            many for each doubling of the larger side, 8 at least.
        max_width: ... up to this many.
        dense: Whether convolutions are dense ones, for GPUs; else 1x1 and depthwise ones.
        mixing: Share of the images in training that mix two latents.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Raises:
        CganError: ``mixing`` is no share.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: Size = 64,
        embed_dim: Size = 8,
        w_dim: Size = 64,
        width: Size | None = 16,
        max_width: Size = 128,
        dense: bool = False,
        mixing: float = 0.5,
    ) -> None:
        check_share("model.generator.mixing", mixing)
        height, base_width, doublings = base_grid(img_shape)
        sizes = [(height << level, base_width << level) for level in range(doublings + 1)]
        super().__init__(
            z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape,
            w_dim=w_dim, style_layers=2 * len(sizes) - 1,
        )  # fmt: skip
        self.mixing = mixing
        self.w_counts: Tensor
        self.register_buffer("w_counts", torch.zeros(self.num_classes, 1))
        linears = nn.Linear(z_dim + embed_dim, w_dim), nn.Linear(w_dim, w_dim)
        for linear in linears:
            nn.init.kaiming_normal_(linear.weight, a=0.2)
            nn.init.zeros_(linear.bias)
        self.mapping = nn.Sequential(linears[0], nn.LeakyReLU(0.2), linears[1], nn.LeakyReLU(0.2))
        if width is None:
            width = max(8, 24 * 32 // max(32, *img_shape[1:]) // 4 * 4)
        channels = [min(width << level, max_width) for level in reversed(range(len(sizes)))]
        convolution = DenseConv if dense else SeparableConv
        self.constant = nn.Parameter(torch.randn(1, channels[0], *sizes[0]))
        self.styled = nn.ModuleList([_StyledLayer(convolution(w_dim, channels[0], channels[0]), sizes[0])])
        for (fan_in, fan_out), size in zip(pairwise(channels), sizes[1:], strict=True):
            self.styled.append(_StyledLayer(convolution(w_dim, fan_in, fan_out), size, doubles=True))
            self.styled.append(_StyledLayer(convolution(w_dim, fan_out, fan_out), size))
        self.crop = CentreCrop(*img_shape[1:])
        self.to_image = nn.ModuleList(_ToImage(w_dim, fan_in, img_shape[0]) for fan_in in channels)

    def map(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Map latents to styles, the same for every layer: (N, Z) and (N, E) -> (N, L, W)."""
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        w = self.mapping(torch.cat([z, embedding], dim=1))
        return w.unsqueeze(1).expand(-1, self.style_layers, -1)

    def paint(self, w: Tensor) -> Tensor:
        """Draw styles: (N, L, W) -> (N, C, H, W) in [-1, 1]."""
        x = self.styled[0](self.constant.expand(w.shape[0], -1, -1, -1), w[:, 0])
        image = self.to_image[0](x, w[:, 0])
        for stage, to_image in enumerate(self.to_image[1:], start=1):
            for layer in (2 * stage - 1, 2 * stage):
                x = self.styled[layer](x, w[:, layer])
            image = _doubled(image) + to_image(x, w[:, 2 * stage])
        return torch.tanh(self.crop(image))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Draw: (N, Z) and (N,) int64 -> (N, C, H, W) in [-1, 1]; in training with mixed styles."""
        embedding = self.embed(labels)
        w = self.map(z, embedding)
        if self.training:
            self._follow(w[:, 0], labels)
            w = self._mixed(w, embedding)
        return self.paint(w)

    @torch.no_grad()
    def _follow(self, w: Tensor, labels: Tensor) -> None:
        """Move the mean style of each class towards those of its images: (N, W) and (N,)."""
        members = F.one_hot(labels, self.num_classes).to(self.mean_w.dtype).T
        counts = members.sum(1, keepdim=True)
        self.w_counts.add_(counts).clamp_(max=MEAN_W_IMAGES)
        means = (members @ w.to(members)).to(members) / counts.clamp(min=1)  # autocast rounds a product
        self.mean_w.lerp_(means, (counts / self.w_counts.clamp(min=1)).clamp(max=1))

    def _mixed(self, w: Tensor, embedding: Tensor) -> Tensor:
        """Replace the styles of some images, from a random layer on, by those of a second latent of the same class."""
        count, layers, _ = w.shape
        second = self.map(torch.randn(count, self.z_dim, device=w.device), embedding)
        crossover = torch.randint(1, max(layers, 2), (count, 1), device=w.device)
        mixed = torch.rand(count, 1, device=w.device) < self.mixing
        fine = torch.arange(layers, device=w.device) >= crossover
        return torch.where((mixed & fine).unsqueeze(2), second, w)


def _pointwise(x: Tensor, weights: Tensor) -> Tensor:
    """Convolve each image with its own 1x1 weights: (N, I, H, W) and (N, O, I) -> (N, O, H, W)."""
    height, width = x.shape[2:]
    product = x.permute(0, 2, 3, 1).flatten(1, 2) @ weights.transpose(1, 2)
    return product.unflatten(1, (height, width)).permute(0, 3, 1, 2)


def _doubled(x: Tensor) -> Tensor:
    """Double height and width by nearest neighbour and the [1, 2, 1] low-pass, which together are bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
