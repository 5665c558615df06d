"""A training run of this project that moves on block by block, so that it can be timed between other contenders."""

import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from greenlet import getcurrent, greenlet
from hydra.utils import instantiate

from cgan.config import compose
from cgan.data.datamodule import ImageData
from cgan.data.sources import Source
from cgan.hardware import look_for_gpus_once
from cgan.tasks.build import build_loggers, build_module, build_trainer
from cgan.tasks.train import quiet_lightning

SETTING = ("quality=none", "trainer.max_epochs=1000000", "+trainer.enable_checkpointing=false")


class LightningRun:
    """What ``train.py`` runs, with its callbacks and loggers, halted after every ``chunks_per_block`` chunks.

    ``trainer.fit`` lives in a greenlet, so that all contenders share one thread. A second thread would have OpenMP
    threads of its own, and where there are more of them than cores they all sleep between kernels: 6,500 images/s
    instead of 10,000 for the plain MLP loop. Work at the ends of epochs (pictures, quality, checkpoints) is left out as
    far as a run stays within one epoch.

    Args:
        overrides: As on the command line of ``train.py``.
        chunks_per_block: Length of a block in calls of ``training_step``.
        source: Real data in place of the configured.
        watched: Whether the configured callbacks run.
    """

    def __init__(
        self, *overrides: str, chunks_per_block: int, source: Source | None = None, watched: bool = True
    ) -> None:
        quiet_lightning()
        look_for_gpus_once()
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        cfg = compose("train", [*SETTING, *overrides], folder)
        self.data = ImageData(
            source=source or instantiate(cfg.data.source, _convert_="all"),
            batch_size=cfg.data.batch_size,
            steps_per_batch=cfg.data.steps_per_batch,
            seed=cfg.seed,
        )
        self.module = build_module(cfg, self.data.spec)
        self._pause = _Pause(chunks_per_block)
        if not watched:
            cfg.callbacks = {}
        self.trainer = build_trainer(cfg, None, [self._pause])
        self.trainer.loggers = build_loggers(cfg, folder, 0, {})
        self._fit = greenlet(lambda: self.trainer.fit(self.module, datamodule=self.data))

    def __call__(self) -> None:
        """Train one block."""
        self._pause.home = getcurrent()
        self._fit.switch()

    def close(self) -> None:
        """End the run."""
        self._pause.ending = True
        if self._fit:
            self()
        self._folder.cleanup()


class _Pause(pl.Callback):
    """Hand over after every block."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.home = getcurrent()
        self.ending = False
        self._served = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._served += 1
        if self._served % self.chunks == 0:
            self.home.switch()
            trainer.should_stop = self.ending
