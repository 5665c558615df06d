"""What callbacks and loggers may know of the module in training."""

from typing import Protocol, cast

import lightning.pytorch as pl

from cgan.ema import GeneratorEMA
from cgan.networks.base import Discriminator, Generator
from cgan.spec import DataSpec


class GAN(Protocol):
    """A conditional GAN in training, as callbacks see it."""

    spec: DataSpec
    generator: Generator
    discriminator: Discriminator
    ema: GeneratorEMA  # the averaged generator, which is drawn from and evaluated
    steps: int  # so far, over all epochs
    images_seen: int  # real images so far, over all devices: the x-axis of every curve

    def total_images(self) -> int | None:
        """Return the number of images of the whole run, or None where the run has no end."""


def gan(module: pl.LightningModule) -> GAN:
    """Return ``module``, as Lightning hands it to a callback, under the protocol."""
    return cast(GAN, module)
