"""A backbone: a generator and a discriminator for images of any size."""

from torch import nn

import cgan
from cgan.networks.base import CentreCrop, Discriminator, Generator
from cgan.networks.conditioning import LabelPlane, LogitHead


@cgan.register  # files name the generator by its class: without this no checkpoint could be loaded
class ShapeGenerator(Generator):
    """``[z, embedding] -> (2 * width, H / 4, W / 4) -> (width, H / 2, W / 2) -> (C, H, W)`` in [-1, 1].

    ``num_classes`` and ``img_shape``, (C, H, W), come from the data set, all else from the YAML.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        img_shape: tuple[int, int, int],
        z_dim: int = 32,
        embed_dim: int = 32,
        width: int = 32,
    ) -> None:
        super().__init__(z_dim=z_dim, embed_dim=embed_dim, num_classes=num_classes, img_shape=img_shape)
        rows, columns = -(-img_shape[1] // 4), -(-img_shape[2] // 4)  # rounded up, cropped at the end
        self.layers = nn.Sequential(
            nn.Linear(z_dim + embed_dim, 2 * width * rows * columns),
            nn.Unflatten(1, (2 * width, rows, columns)),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, img_shape[0], kernel_size=4, stride=2, padding=1),
            nn.Tanh(),
            CentreCrop(*img_shape[1:]),
        )


class ShapeDiscriminator(Discriminator):
    """Two convolutions; the class enters as one more channel. No file names this class: it needs no ``register``."""

    def __init__(self, *, num_classes: int, img_shape: tuple[int, int, int], width: int = 32) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        rows, columns = img_shape[1] // 4, img_shape[2] // 4
        self.label = LabelPlane(num_classes, *img_shape[1:])  # (N, C, H, W) -> (N, C + 1, H, W)
        self.features = nn.Sequential(
            nn.Conv2d(img_shape[0] + 1, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.head = LogitHead(2 * width * rows * columns)
