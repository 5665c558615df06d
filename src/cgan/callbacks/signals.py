"""SIGTERM and ctrl-C: finish the batch, write a checkpoint, say how to go on; before the first batch end at once."""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from cgan.callbacks.checkpoints import LastCheckpoint, ends_epoch
from cgan.callbacks.protocol import gan
from cgan.cluster import requeue, stop_at_once
from cgan.commands import command

log = logging.getLogger(__name__)


class Signals(Checkpoint):
    """Turn signals into an orderly end; a second ctrl-C ends the process at once.

    A context manager, so that the former handlers come back however training ends. Lightning's own handlers are
    replaced: theirs exit with status 0 or 1, and start a collective operation from inside the handler, which no other
    rank may be waiting for. On SLURM, SIGUSR1 (``sbatch --signal=USR1@120``) also puts the job back into the queue.

    A kind of ``Checkpoint`` because Lightning calls these after all others.

    Args:
        last: Writes the checkpoint.
        plugins: The arguments by which the printed command finds the run's plugins.

    Attributes:
        training: Whether training has started; before, there is nothing to save, and features may take minutes.
    """

    def __init__(self, last: LastCheckpoint, plugins: Sequence[str] = ()) -> None:
        self.last = last
        self.plugins = plugins
        self.received = 0
        self.training = False
        self._handled = [signal.SIGTERM, signal.SIGINT]
        if "SLURM_JOB_ID" in os.environ:
            self._handled.append(signal.SIGUSR1)
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            self._former = {number: signal.getsignal(number) for number in self._handled}
            self._install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save before the end from now on; take the signals back from Lightning, which has just installed its own."""
        self.training = True
        self._install()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop, with status 143 after SIGTERM and 130 after ctrl-C, if any rank has received a signal."""
        if not ends_epoch(trainer) and (received := self._agree(trainer)):
            self.last.save(trainer, pl_module)
            self._stop(trainer, pl_module, received)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, if any rank has received a signal and the run is not done; ``last.ckpt`` was written just now."""
        if trainer.current_epoch + 1 != trainer.max_epochs and (received := self._agree(trainer)):
            self._stop(trainer, pl_module, received)

    def _install(self) -> None:
        for number in self._former:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.training:
            stop_at_once(number, frame)
        self.received = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _agree(self, trainer: pl.Trainer) -> int:
        """Return a signal that any rank received, the same on every rank, or 0."""
        if trainer.world_size == 1:
            return self.received  # without waiting for the device
        received = torch.tensor(self.received, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(received, reduce_op="max"))

    def _stop(self, trainer: pl.Trainer, module: pl.LightningModule, received: int) -> None:
        log.warning(
            "\nStopped by %s after step %d; nothing is lost. Go on: %s",
            signal.Signals(received).name,
            gan(module).steps,
            command("train", *self.plugins, f"ckpt={self.last.path.parent.parent}"),
        )
        if received == signal.SIGUSR1 and trainer.is_global_zero:
            requeue()
        # A launcher that sees one rank fail would kill the others before they are done: rank 0 speaks for all.
        raise SystemExit(128 + received if trainer.is_global_zero else 0)
