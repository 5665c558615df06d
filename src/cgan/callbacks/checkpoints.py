"""When ``last.ckpt`` and ``best.ckpt`` are written."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from cgan.callbacks.protocol import gan
from cgan.callbacks.quality import Quality
from cgan.errors import check_whole
from cgan.files import part_of
from cgan.metrics.values import SCORE
from cgan.records.layout import BEST, LAST, PREVIOUS


class BestCheckpoint(Checkpoint):
    """Keep ``best.ckpt``: the state after the epoch that ``quality`` finds the best by the Fréchet distance.

    Lightning's ModelCheckpoint compares for itself, and after a resumption not always with the same epoch.
    """

    def __init__(self, folder: Path, quality: Quality) -> None:
        self.path = folder / BEST
        self.quality = quality

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        best = self.quality.best
        if best and SCORE in best.point.values and best.point.images_seen == gan(pl_module).images_seen:
            trainer.save_checkpoint(self.path, weights_only=False)


class LastCheckpoint(Checkpoint):
    """Keep ``last.ckpt``, and the one before it as ``previous.ckpt`` in case the disk damages the newest.

    Lightning's ModelCheckpoint counts steps of both optimisers and writes nothing by images or time here.

    Args:
        folder: The folder of checkpoints.
        every_n_batches: Distance in training steps within an epoch; None writes at epoch ends only.
        resumed_from: The checkpoint from which the run goes on.
    """

    def __init__(self, folder: Path, every_n_batches: int | None, resumed_from: str | Path | None = None) -> None:
        if every_n_batches is not None:
            check_whole("checkpoint.every_n_batches", every_n_batches, 1)
        self.path = folder / LAST
        self.every_n_batches = every_n_batches
        self._saved_at = 0
        self._sound = resumed_from is not None and Path(resumed_from).name == LAST

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count from here on, and clear what a killed process left half-written."""
        self._saved_at = gan(pl_module).steps
        if trainer.is_global_zero:
            for part in self.path.parent.glob("*.part"):
                part.unlink(missing_ok=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when enough steps have passed; after an epoch's last batch the epoch's end does it."""
        due = self.every_n_batches and gan(pl_module).steps - self._saved_at >= self.every_n_batches
        if due and not ends_epoch(trainer):
            self.save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.save(trainer, pl_module)

    def save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Write ``last.ckpt``; every rank calls this. The one before it is kept, if this process wrote or read it.

        One that was found damaged must not take the place of the sound one from which the run went on.

        Raises:
            CganError: It cannot be written; the one before is untouched.
        """
        if trainer.is_global_zero and self._sound and self.path.exists():
            keep(self.path, self.path.with_name(PREVIOUS))
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_at, self._sound = gan(module).steps, True


def ends_epoch(trainer: pl.Trainer) -> bool:
    """Whether this batch is the epoch's last: a state saved here would repeat the epoch when resumed."""
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def keep(path: Path, name: Path) -> None:
    """Give a file a second name, which lasts when the first comes to name another file; it costs no copy."""
    spare = part_of(name)
    with suppress(OSError):  # a file system without links keeps one checkpoint
        os.link(path, spare)
        os.replace(spare, name)
