"""Features without a network: thumbnails."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.metrics.features import Extractor
from cgan.spec import to_float


class PixelExtractor(Extractor):
    """Thumbnails of at most ``size`` x ``size`` pixels, as means of areas: they see colours and layout, no details.

    Args:
        size: Height and width of a thumbnail.
    """

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size = size
        self.name = f"pixels{size}"
        self.resize = f"means of areas to {size}x{size}"

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, C * size * size) in [-1, 1], float32, and logits (N, 0)."""
        height, width = (min(self.size, side) for side in images.shape[2:])
        features = F.adaptive_avg_pool2d(to_float(images), (height, width)).flatten(1)
        return features, features[:, :0]
