"""Features of a classifier that is trained on the data set's own training split, at the data's size and channels."""

import torch
from torch import Tensor, nn

WIDTHS = (48, 96, 192)
LARGEST_GRID = 16


class PictureNet(nn.Module):
    """A small residual classifier of images of any size; about 650,000 weights.

    Convolutions of stride 2 bring each side to at most 16; three residual stages of 48, 96 and 192 channels follow,
    each on half the grid of the one before. The features are the means of the last one's channels.

    Args:
        img_shape: (C, H, W).
        num_classes: Number of classes.
    """

    def __init__(self, img_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        fan_in, *size = img_shape
        layers: list[nn.Module] = []
        for width in stem_widths(max(size)):
            down, across = (1 if side <= LARGEST_GRID else 2 for side in size)
            layers += convolution(fan_in, width, kernel_size=(2 + down, 2 + across), stride=(down, across))
            size = [size[0] // down, size[1] // across]
            fan_in = width
        for number, width in enumerate(WIDTHS):
            step = 1 if number == 0 else 2
            if fan_in != width or step == 2:
                layers += convolution(fan_in, width, kernel_size=(3, 3), stride=(step, step))
            layers.append(Residual(width))
            fan_in = width
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(fan_in, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) float in [-1, 1] to (N, 192)."""
        return self.trunk(images.contiguous(memory_format=torch.channels_last))

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) float in [-1, 1] to (N, num_classes) logits."""
        return self.head(self.features(images))


class Residual(nn.Module):
    """``x + ReLU(norm(convolution(x)))``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*convolution(width, width, kernel_size=(3, 3), stride=(1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def convolution(fan_in: int, fan_out: int, *, kernel_size: tuple[int, int], stride: tuple[int, int]) -> list[nn.Module]:
    """Return a convolution, its batch norm and its activation; stride 2 halves a side, rounded up for odd kernels."""
    conv = nn.Conv2d(fan_in, fan_out, kernel_size=kernel_size, stride=stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(fan_out), nn.ReLU()]


def stem_widths(size: int) -> list[int]:
    """Return the widths of the convolutions that bring ``size`` to 16: fewer channels where there are more pixels."""
    widths: list[int] = []
    while size > LARGEST_GRID:
        size //= 2
        widths.insert(0, max(WIDTHS[0] >> len(widths), 16))
    return widths
