"""Dropout that does not wait for its random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.errors import check_share

LEVELS = 256


class Dropout(nn.Dropout):
    """``nn.Dropout`` whose mask takes one byte of randomness per value on a CPU, where torch's takes a whole float.

    torch draws a CPU's masks one after another on one core: a fifth of a training step of ``model=dcgan``, three times
    as long as this. The share is rounded to a 256th and what is kept is divided by the very share, so the mean stays.
    On a GPU, and compiled, it is torch's own.

    Args:
        p: The share to drop.

    Raises:
        CganError: ``p`` is no share.
    """

    def __init__(self, p: float) -> None:
        check_share("model.discriminator.dropout", p)
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        """Drop a share of the values in training: (...) -> (...)."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p, self.training)
        dropped = round(self.p * LEVELS)
        if dropped in (0, LEVELS):
            return x * float(dropped == 0)
        kept = (_random_bytes(x) >= dropped).to(x.dtype) * (LEVELS / (LEVELS - dropped))
        return x * kept


def _random_bytes(x: Tensor) -> Tensor:
    """Return uint8, uniform on 0 to 255, in the shape of ``x`` and in its order of memory."""
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    flat = words.view(torch.uint8)[: x.numel()]
    if x.dim() == 4 and not x.is_contiguous():  # channels last
        count, channels, height, width = x.shape
        return flat.view(count, height, width, channels).permute(0, 3, 1, 2)
    return flat.view(x.shape)
