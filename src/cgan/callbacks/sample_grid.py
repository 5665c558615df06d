"""The same latents, drawn after every epoch."""

import logging
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only

from cgan.callbacks.protocol import gan
from cgan.errors import check_whole
from cgan.sampling.draw import render
from cgan.sampling.grids import drawable, image_grid
from cgan.sampling.noise import fixed_latents
from cgan.tracking import log_image

log = logging.getLogger(__name__)


class SampleGrid(pl.Callback):
    """Draw a grid from the averaged weights: a row per fixed latent, a column per class, the same all through the run.

    Of very many classes some are shown; with one class every cell has a latent of its own. Writes
    ``samples/epoch_0001.png`` and on, ``latents.npz`` (``z``, ``labels``), and the image tab of TensorBoard.
    """

    def __init__(self, folder: str, rows: int, seed: int, every_n_epochs: int) -> None:
        check_whole("callbacks.sample_grid.rows", rows, 1)
        check_whole("callbacks.sample_grid.seed", seed, 0)
        check_whole("callbacks.sample_grid.every_n_epochs", every_n_epochs, 1)
        self.folder = Path(folder)
        self.rows = rows
        self.seed = seed
        self.every_n_epochs = every_n_epochs

    @rank_zero_only
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        spec, z_dim = gan(pl_module).spec, gan(pl_module).generator.z_dim
        shown = spec.shown_labels()
        if spec.num_classes == 1:
            self.names, self.labels = None, torch.zeros(self.rows**2, dtype=torch.int64)
            self.z = fixed_latents(self.rows**2, z_dim, self.seed)
        else:
            names = drawable(spec.class_names)
            self.names = [names[label] for label in shown]
            self.z = fixed_latents(self.rows, z_dim, self.seed).repeat_interleave(len(shown), dim=0)
            self.labels = torch.tensor(shown).repeat(self.rows)
        if len(shown) < spec.num_classes:
            log.info("Image grids show %d of the %s classes", len(shown), f"{spec.num_classes:,}")
        (self.folder / "samples").mkdir(parents=True, exist_ok=True)
        np.savez(self.folder / "latents.npz", z=self.z.numpy(), labels=self.labels.numpy())

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs:
            return
        images = render(gan(pl_module).ema.generator, self.z, self.labels)
        picture = image_grid(images, len(images) // self.rows, column_names=self.names)
        picture.save(self.folder / "samples" / f"epoch_{epoch:04d}.png")
        log_image(pl_module, "samples", picture)
