"""Features of stacked digits: the digit classifier's, of each channel."""

import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.features import Extractor
from cgan.spec import DataSpec


class StackedDigitExtractor(Extractor):
    """Each channel's features by the bundled digit classifier, side by side.

    It has no logits: those of 1,000 classes would take more memory than the images. ``metrics=modes`` reads the digits.
    """

    name = "stacked_digits"

    def __init__(self) -> None:
        super().__init__()
        self.digits = DigitExtractor()

    def check(self, spec: DataSpec) -> None:
        """Refuse images of another size than 28x28.

        Raises:
            CganError: The images of ``spec`` have another size.
        """
        if spec.img_shape[1:] != (28, 28):
            _, height, width = spec.img_shape
            raise CganError(
                f"features=stacked_digits reads 28x28 digits in each channel, {spec.name} has {height}x{width} images: "
                "leave features= out, which chooses by the data"
            )

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, 28, 28) uint8 to features (N, C * 64), float32, and logits (N, 0)."""
        features, _ = self.digits(images.flatten(0, 1).unsqueeze(1))
        stacked = features.view(len(images), -1)
        return stacked, stacked[:, :0]
