"""What every feature extractor has."""

from typing import Self

from torch import Tensor, nn


class Extractor(nn.Module):
    """A frozen network that sees uint8 images; always in eval mode.

    Attributes:
        name: Stands in the tag of every value made from its features.
        reads_labels: Whether its classes are the data set's.
    """

    name: str
    reads_labels: bool

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode whatever a parent asks."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Look and read: (N, C, H, W) uint8 -> features (N, D) and logits (N, K), both float32."""
        raise NotImplementedError
