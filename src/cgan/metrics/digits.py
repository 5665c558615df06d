"""Digit features: a small classifier of MNIST digits, whose last hidden layer gives them; of stacks, per channel."""

from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.metrics.classifier import fused
from cgan.metrics.features import Extractor
from cgan.metrics.own import ClassifierExtractor, verified
from cgan.spec import DataSpec

WEIGHTS = Path(__file__).with_name("digits.safetensors")
WEIGHTS_SHA256 = "cb831a20e603b385653abb4f9d0ba0363285eed74d5cf645ab154d979f4c27b1"
NUM_FEATURES = 64


class DigitNet(nn.Module):
    """Four convolutions and two linear layers, about 190,000 weights; trained by ``tools/extractor.py``."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_block(1, 24, kernel_size=5, stride=2, padding=2),
            *_block(24, 48, kernel_size=3, stride=1, padding=1),
            nn.MaxPool2d(2),
            *_block(48, 64, kernel_size=3, stride=1, padding=1),
            *_block(64, 96, kernel_size=3, stride=2, padding=1),
            nn.Flatten(),
            nn.Linear(96 * 4 * 4, NUM_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(NUM_FEATURES, 10)

    def features(self, images: Tensor) -> Tensor:
        """Map (N, 1, 28, 28) float in [-1, 1] to (N, 64), the penultimate activations."""
        return self.trunk(images)

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, 1, 28, 28) float in [-1, 1] to (N, 10) logits."""
        return self.head(self.features(images))


class DigitExtractor(ClassifierExtractor):
    """The trained extractor.

    Raises:
        CganError: The weights beside the code are missing or not the recorded ones.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        net = fused(DigitNet().eval())
        net.load_state_dict(load(verified(weights, WEIGHTS_SHA256)))
        super().__init__(net, DataSpec("mnist", (1, 28, 28), tuple("0123456789")), 0.9962, "digits")
        self.trusted = 0.98


class StackedDigitExtractor(Extractor):
    """Each channel's features by the bundled digit classifier, side by side.

    It has no logits: those of 1,000 classes would take more memory than the images. ``metrics=modes`` reads the digits.
    """

    name = "stacked_digits"

    def __init__(self) -> None:
        super().__init__()
        self.digits = DigitExtractor()

    def check(self, spec: DataSpec) -> None:
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


def _block(fan_in: int, fan_out: int, *, kernel_size: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.Conv2d(fan_in, fan_out, kernel_size=kernel_size, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(fan_out), nn.ReLU()]
