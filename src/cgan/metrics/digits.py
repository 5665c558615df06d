"""The digit-feature extractor: a small classifier of MNIST digits, whose last hidden layer gives the features."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgan.errors import CganError
from cgan.metrics.features import Extractor
from cgan.spec import DataSpec, to_float

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


class DigitExtractor(Extractor):
    """The trained extractor, frozen, always in eval mode and in float32.

    Raises:
        CganError: The weights beside the code are missing or not the recorded ones.
    """

    name = "digits"
    classes = "data"

    def __init__(self, weights: Path = WEIGHTS) -> None:
        super().__init__()
        self.net = fused(DigitNet().eval())
        self.net.load_state_dict(_verified(weights))
        self.net.to(memory_format=torch.channels_last).requires_grad_(False)

    def check(self, spec: DataSpec) -> None:
        """Refuse all but 28x28 grey digits 0 to 9.

        Raises:
            CganError: The images of ``spec`` are something else.
        """
        if spec.img_shape != (1, 28, 28) or spec.class_names != tuple("0123456789"):
            raise CganError(
                f"features=digits reads 28x28 grey digits 0-9, {spec.name} has {spec.num_classes} classes of "
                f"{spec.img_shape}: use features=inception, or train with quality=none"
            )

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 1, 28, 28) uint8 to features (N, 64) and logits (N, 10), both float32."""
        with torch.autocast(images.device.type, enabled=False):
            features = self.net.features(to_float(images))
            return features, self.net.head(features)


def _block(fan_in: int, fan_out: int, *, kernel_size: int, stride: int, padding: int) -> list[nn.Module]:
    conv = nn.Conv2d(fan_in, fan_out, kernel_size=kernel_size, stride=stride, padding=padding, bias=False)
    return [conv, nn.BatchNorm2d(fan_out), nn.ReLU()]


def fused(net: DigitNet) -> DigitNet:
    """Fold each batch norm of a trained net into the convolution before it: the same numbers for less work."""
    layers = list(net.trunk)
    for place, layer in enumerate(layers[:-1]):
        following = layers[place + 1]
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
            layers[place], layers[place + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    net.trunk = nn.Sequential(*layers)
    return net


def _verified(path: Path) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CganError(f"digit-feature weights: cannot read {path} ({error.strerror}); install cgan again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != WEIGHTS_SHA256:
        raise CganError(
            f"digit-feature weights: {path} has SHA-256 {found[:12]}..., expected {WEIGHTS_SHA256[:12]}...; with other "
            "weights no value could be compared: install cgan again"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise CganError(f"digit-feature weights: {path} is not a safetensors file ({error})") from error
