"""Differentiable augmentation of all that the discriminator sees (Zhao et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor


class Translate:
    """Shift each image by up to ``pixels`` in both directions; the background (-1) moves in.

    Flips and turns are left out: they change the digit.

    Args:
        pixels: Largest shift.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, images: Tensor) -> Tensor:
        """Shift: (N, C, H, W) -> (N, C, H, W), differentiable."""
        count, _, height, width = images.shape
        padded = F.pad(images, [self.pixels] * 4, value=-1.0)
        shift = torch.randint(0, 2 * self.pixels + 1, (2, count, 1), device=images.device)
        rows = (shift[0] + torch.arange(height, device=images.device)).view(count, 1, height, 1)
        columns = (shift[1] + torch.arange(width, device=images.device)).view(count, 1, 1, width)
        image = torch.arange(count, device=images.device).view(count, 1, 1, 1)
        channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
        return padded[image, channel, rows, columns]
