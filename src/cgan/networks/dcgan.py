"""The classic convolutional pair (Radford et al. 2016), conditional."""

from torch import Tensor, nn

from cgan.networks.base import Discriminator, Generator, divided
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

    Two stride-2 transposed convolutions with batch norm and ReLU, then a convolution and tanh.

    Args:
        z_dim: Length of a latent.
        embed_dim: Length of a label embedding.
        channels: Channels at H/4, H/2 and H.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W); H and W are multiples of 4.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        z_dim: int = 100,
        embed_dim: int = 50,
        channels: tuple[int, int, int] = (256, 128, 64),
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        height, width = divided(img_shape, 4, "model=dcgan")
        low, middle, high = channels
        self.layers = nn.Sequential(
            nn.Linear(z_dim + embed_dim, low * height * width, bias=False),
            nn.Unflatten(1, (low, height, width)),
            nn.BatchNorm2d(low),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(low, middle, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(middle, high, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(high),
            nn.ReLU(inplace=True),
            nn.Conv2d(high, img_shape[0], kernel_size=3, padding=1),
            nn.Tanh(),
        )
        init_weights(self)


class DCGANDiscriminator(Discriminator):
    """``H x W x (C + label plane) -> H/2 x W/2 x 64 -> H/4 x W/4 x 128 -> logit``, LeakyReLU 0.2 and dropout.

    Without batch norm, which would let it tell real from fake by their statistics alone.

    Args:
        channels: Channels after each stride-2 convolution.
        dropout: Share of activations dropped in training.
        conditioning: ``concat`` (a learned label plane beside the image) or ``projection``.
        norm: ``none`` or ``spectral``.
        num_classes: Number of classes, or the lengths of the factors whose combinations they are.
        img_shape: (C, H, W); H and W are multiples of 4.
    """

    def __init__(
        self,
        *,
        num_classes: Classes,
        img_shape: tuple[int, int, int],
        channels: tuple[int, int] = (64, 128),
        dropout: float = 0.3,
        conditioning: Conditioning = "concat",
        norm: Norm = "none",
    ) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        height, width = divided(img_shape, 4, "model=dcgan")
        self.label = LabelPlane(num_classes, *img_shape[1:]) if conditioning == "concat" else None
        layers: list[nn.Module] = []
        fan_in = img_shape[0] + (1 if self.label else 0)
        for fan_out in channels:
            layers += [nn.Conv2d(fan_in, fan_out, kernel_size=4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            layers += [Dropout(dropout)] if dropout else []
            fan_in = fan_out
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = logit_head(conditioning, channels[-1] * height * width, num_classes)
        init_weights(self)
        normalise_weights(self, norm)
