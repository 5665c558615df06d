"""How good the samples are, by the same suite as evaluate.py, beside the same numbers for real test images."""

import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.data.datamodule import ImageData
from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.metrics.cache import look_path, recall, remember
from cgan.metrics.extractors import extractor_for
from cgan.metrics.looks import Look, labels_like, look
from cgan.metrics.suite import Suite
from cgan.module import ConditionalGAN
from cgan.sampling.draw import render
from cgan.sampling.noise import latents
from cgan.tracking import log_values, tensorboard


class Quality(pl.Callback):
    """Judge samples of the averaged generator against the training split; the test split gives the floor.

    Values are logged as ``quality/TAG`` and their floors as ``floor/TAG``. On several devices each draws and looks at
    its share of the images; the values are those of one process, to rounding.

    Args:
        features: The extractor: ``digits`` or ``inception``.
        metrics: Names from :data:`cgan.metrics.suite.METRICS`, or ``all``.
        n: Samples per evaluation; at most as many as the test split has images, so that the floor is for the same n.
        every_n_epochs: Distance of two evaluations; the last epoch is always judged.
        seed: Names the samples.

    Raises:
        CganError: ``every_n_epochs`` is no count.
    """

    def __init__(self, features: str, metrics: list[str] | str, n: int, every_n_epochs: int, seed: int) -> None:
        if every_n_epochs < 1:
            raise CganError(f"quality.every_n_epochs={every_n_epochs}: expected a count from 1, or quality=none")
        self.features = features
        self.metrics = [metrics] if isinstance(metrics, str) else metrics
        self.n = n
        self.every_n_epochs = every_n_epochs
        self.seed = seed
        self.history: list[dict[str, float]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the reference and the test images once."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        self.extractor = extractor_for(self.features, data.spec).to(pl_module.device)
        reference, test = self._look_at_real(trainer, data.train), self._look_at_real(trainer, data.test)
        self.suite = Suite(reference, test, self.extractor, self.metrics, min(self.n, len(test.labels)))
        self.labels = labels_like(reference.labels, self.suite.n)
        if board := tensorboard(pl_module):
            charts = {tag: [f"quality/{tag}", f"floor/{tag}"] for tag in self.suite.floor}
            board.add_charts("Quality against the training split; floor: real test images", charts)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge and log."""
        assert isinstance(pl_module, ConditionalGAN)
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs:
            return
        start = time.perf_counter()
        # One process's rounding decides for all, so that they agree on which checkpoint is the best.
        values = trainer.strategy.broadcast(self.suite.measure(self._look_at_samples(trainer, pl_module)))
        seconds = time.perf_counter() - start
        self.history.append(values)
        quality = {f"quality/{tag}": value for tag, value in values.items()}
        floor = {f"floor/{tag}": value for tag, value in self.suite.floor.items()}
        log_values(pl_module, {**quality, **floor, "time/quality_s": seconds})
        if "fid" in self.suite.metrics:  # ModelCheckpoint's name for it; charts get the tag with the protocol only
            pl_module.log("fid", values[self.suite.tag("fid")], logger=False)

    def state_dict(self) -> dict[str, Any]:
        """Return all values so far: the best epoch of a resumed run may lie before the interruption."""
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the values so far."""
        self.history = list(state_dict["history"])

    def _look_at_samples(self, trainer: pl.Trainer, module: ConditionalGAN) -> Look:
        z = latents(self.labels, module.ema.generator.z_dim, self.seed)
        share = share_of_rank(len(self.labels), trainer)
        images = render(module.ema.generator, z[share], self.labels[share])
        return gathered(look(self.extractor, images, self.labels[share]), len(self.labels), trainer)

    def _look_at_real(self, trainer: pl.Trainer, split: Split) -> Look:
        path = look_path(self.extractor, split.images)
        seen = recall(path, *split)
        if not trainer.strategy.reduce_boolean_decision(seen is not None, all=True):
            share = share_of_rank(len(split.labels), trainer)
            seen = gathered(look(self.extractor, split.images[share], split.labels[share]), len(split.labels), trainer)
            if trainer.is_global_zero:
                remember(path, seen)
        assert seen is not None
        return seen


def share_of_rank(count: int, trainer: pl.Trainer) -> Tensor:
    """Return which of ``count`` images this rank sees: every world-size-th, wrapped so that all ranks have as many."""
    world = trainer.world_size
    rounds = -(-count // world)
    return (torch.arange(rounds) * world + trainer.global_rank) % count


def gathered(share: Look, count: int, trainer: pl.Trainer) -> Look:
    """Put the ranks' shares of ``count`` images together, in the images' own order."""
    if trainer.world_size == 1:
        return share
    device = trainer.strategy.root_device
    columns = (trainer.strategy.all_gather(column.to(device)).cpu() for column in share)  # (world, rounds, ...)
    return Look(*(column.transpose(0, 1).flatten(0, 1)[:count] for column in columns))
