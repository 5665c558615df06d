"""What a run is doing now, in ``run.json``."""

import contextlib
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities import rank_zero_only

from cgan.callbacks.protocol import GAN, gan
from cgan.errors import CganError, printable
from cgan.hardware import describe_hardware
from cgan.records.run import RunRecord, claim, release, write_run
from cgan.tracking import log_text, run_ids

SECONDS_BETWEEN_WRITES = 2.0


class Status(Checkpoint):
    """Keep a run's record: at its start, every two seconds of training, and at its end, whatever ends it.

    A context manager around the whole run, so that an error before training is recorded as well, and the folder belongs
    to this process; a kind of ``Checkpoint`` because Lightning calls these after all others.
    """

    def __init__(self, folder: Path, record: RunRecord, checkpoint: str | Path | None) -> None:
        self.folder = folder
        self.record = record
        self.checkpoint = checkpoint
        self._written_at = self._started_at = 0.0
        self._images_at_start = 0

    def __enter__(self) -> Self:
        if not rank_zero_only.rank:  # type: ignore[attr-defined]
            claim(self.folder, self.checkpoint)
            write_run(self.folder, self.record)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.write(state="finished", seconds_left=None)
        elif isinstance(error, Exception):
            self.write(state="failed", seconds_left=None, message=_one_line(error))
        else:  # KeyboardInterrupt, or the exit status of a signal
            self.write(state="stopped", seconds_left=None, message=f"stopped by {_cause(error)}")
        release(self.folder)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started_at, self._images_at_start = time.monotonic(), gan(pl_module).images_seen
        self.write(
            hardware=describe_hardware(pl_module.device, trainer.world_size),
            epoch=trainer.current_epoch + 1,
            epochs=trainer.max_epochs if trainer.max_epochs != -1 else None,
            images_seen=self._images_at_start,
            images_total=gan(pl_module).total_images(),
            loggers=run_ids(trainer.loggers),
        )
        log_text(pl_module, "run", self._card(gan(pl_module)))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        seen, total = gan(pl_module).images_seen, self.record.images_total
        self.record = replace(self.record, epoch=trainer.current_epoch + 1, images_seen=seen)
        if time.monotonic() - self._written_at >= SECONDS_BETWEEN_WRITES:
            speed = (seen - self._images_at_start) / (time.monotonic() - self._started_at)
            self.write(seconds_left=round((total - seen) / speed, 1) if total and speed else None)

    def _card(self, module: GAN) -> str:
        """Say in Markdown what runs: for a logger's page of texts."""
        networks = " against ".join(type(network).__name__ for network in (module.generator, module.discriminator))
        rows = {"Command": f"`{self.record.command}`", "Networks": networks, "Data": module.spec.name}
        rows |= {"Hardware": self.record.hardware, "Folder": str(self.folder)}
        return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items())])

    @rank_zero_only
    def write(self, **changes: Any) -> None:
        """Change the record and write it; a full disk is the checkpoint's to report."""
        self.record = replace(self.record, updated=time.time(), **changes)
        self._written_at = time.monotonic()
        with contextlib.suppress(CganError):
            write_run(self.folder, self.record)


def _one_line(error: Exception) -> str:
    known = error if isinstance(error, CganError) else error.__cause__
    text = str(known) if isinstance(known, CganError) else f"{type(error).__name__}: {error}"
    return printable(" ".join(text.split())[:500])


def _cause(error: BaseException) -> str:
    """Return the signal that ended a run, which an exit status above 128 tells; a plugin may exit with any other."""
    if not isinstance(error, SystemExit):
        return "SIGINT"
    try:
        return signal.Signals(int(error.code or 0) - 128).name
    except ValueError:
        return f"sys.exit({error.code!r})"
