"""The classic convolutional pair (Radford et al. 2016), conditional."""

from itertools import pairwise

from torch import Tensor, nn

from cgan.errors import CganError
from cgan.networks.base import CentreCrop, Discriminator, Generator, Size, base_grid, deepened
from cgan.networks.conditioning import Conditioning, LabelPlane, Norm, logit_head, normalise_weights
from cgan.networks.dropout import Dropout
from cgan.networks.embedding import Classes


def init_weights(module: nn.Module) -> None:
    """Draw all weights from N(0, 0.02) (Radford et al. 2016, section 4), embeddings and linear layers included.

    Batch-norm scales start near 1 with the same spread and biases at 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if isinstance(bias := getattr(layer, "bias", None), Tensor):
            nn.init.zeros_(bias)


class DCGANGenerator(Generator):
    """``[z, embedding] -> H/4 x W/4 x 256 -> H/2 x W/2 x 128 -> H x W x 64 -> H x W x C``.

    Stride-2 transposed convolutions with batch norm and ReLU, then a convolution and tanh. Larger images start from a
    base grid of 4 to 8 pixels a side, with twice the first width and one more doubling each.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        channels: Channels at H/4, H/2 and H.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Raises:
        CganError: ``channels`` are not three.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: Size = 100,
        embed_dim: Size = 50,
        channels: tuple[Size, Size, Size] = (256, 128, 64),
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        if len(channels) != 3:
            raise CganError(f"model.generator.channels={list(channels)}: expected 3 widths")
        height, width, doublings = base_grid(img_shape)
        coarse, *finer = deepened(channels[::-1], doublings)[::-1]
        layers: list[nn.Module] = [
            nn.Linear(z_dim + embed_dim, coarse * height * width, bias=False),
            nn.Unflatten(1, (coarse, height, width)),
            nn.BatchNorm2d(coarse),
            nn.ReLU(inplace=True),
        ]
        for fan_in, fan_out in pairwise([coarse, *finer]):
            layers += [
                nn.ConvTranspose2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.Conv2d(channels[-1], img_shape[0], kernel_size=3, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers, CentreCrop(*img_shape[1:]))
        init_weights(self)


class DCGANDiscriminator(Discriminator):
    """``H x W x (C + label plane) -> H/2 x W/2 x 64 -> H/4 x W/4 x 128 -> logit``, LeakyReLU 0.2 and dropout.

    Without batch norm, which would let it tell real from fake by their statistics alone.

    Args:
        channels: Channels after each stride-2 convolution; larger images add some, with twice the last.
        dropout: Share of activations dropped in training.
        conditioning: ``concat`` (a learned label plane beside the image) or ``projection``.
        norm: ``none`` or ``spectral``.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W).

    Raises:
        CganError: Images are too small to be halved so often.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        channels: tuple[Size, Size] = (64, 128),
        dropout: float = 0.3,
        conditioning: Conditioning = "concat",
        norm: Norm = "none",
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        _, height, width = img_shape
        self.label = LabelPlane(num_classes, *img_shape[1:]) if conditioning == "concat" else None
        layers: list[nn.Module] = []
        fan_in = img_shape[0] + (1 if self.label else 0)
        stages = deepened(channels, base_grid(img_shape)[2])
        if min(height, width) < (smallest := 2 ** len(stages)):
            raise CganError(
                f"model/discriminator=dcgan: expected {smallest} pixels a side or more, found {height}x{width}; choose "
                "model/discriminator=light"
            )
        for fan_out in stages:
            layers += [nn.Conv2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            layers += [Dropout(dropout)] if dropout else []
            fan_in, height, width = fan_out, height // 2, width // 2
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = logit_head(conditioning, fan_in * height * width, num_classes)
        init_weights(self)
        normalise_weights(self, norm)
