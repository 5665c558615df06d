"""A data set that is drawn, and features to measure it with: coloured shapes of 3x16x16 pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.data.sources import Split, SplitName
from cgan.metrics.features import Extractor
from cgan.spec import DataSpec

SIZE = 16
NAMES = ("circle", "square", "diamond", "cross")


class Shapes:
    """Coloured shapes on black, of random place, size and colour; always the same ones."""

    def __init__(self, train_images: int, test_images: int) -> None:
        self.images = {"train": train_images, "test": test_images}
        self.spec = DataSpec("shapes", (3, SIZE, SIZE), NAMES)

    def prepare(self) -> None:
        """Nothing to download."""

    def load(self, split: SplitName) -> Split:
        """Draw one split: images (N, 3, 16, 16) uint8 and labels (N,) int64."""
        count, seed = self.images[split], {"train": 0, "test": 1}[split]
        random = torch.Generator().manual_seed(seed)
        place, radius, colour = (torch.rand(count, n, 1, 1, generator=random) for n in (2, 1, 3))
        pixels = torch.arange(SIZE).float()
        down = (pixels.view(1, SIZE, 1) - 6 - 3 * place[:, 0]).abs()
        right = (pixels.view(1, 1, SIZE) - 6 - 3 * place[:, 1]).abs()
        near, far = torch.minimum(down, right), torch.maximum(down, right)
        distance = torch.stack([(down**2 + right**2).sqrt(), far, near + far, torch.maximum(3 * near, far)], dim=1)
        labels = torch.arange(count) % len(NAMES)
        inside = (4 + 2 * radius - distance[torch.arange(count), labels].unsqueeze(1)).clamp(0, 1)
        return Split((255 * inside * (0.4 + 0.6 * colour)).round().to(torch.uint8), labels)


class ShapeFeatures(Extractor):
    """Mean responses of 64 fixed random filters to the silhouette: they tell shapes apart, wherever they stand."""

    name = "random_filters"  # stands in the protocol of every value

    def __init__(self) -> None:
        super().__init__()
        filters = torch.randn(64, 1, 5, 5, generator=torch.Generator().manual_seed(0))
        self.register_buffer("filters", filters - filters.mean(dim=(2, 3), keepdim=True))

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 3, H, W) uint8 to features (N, 64); the logits (N, 0) say that no class is read."""
        brightest = images.float().amax(dim=1, keepdim=True)
        silhouette = brightest / brightest.amax(dim=(2, 3), keepdim=True).clamp(min=1)
        features = F.conv2d(silhouette, self.filters, padding=2).relu().mean(dim=(2, 3))
        return features, features[:, :0]
