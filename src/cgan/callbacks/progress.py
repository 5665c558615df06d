"""What the terminal shows of a training: a bar for the whole run, and a line that stays for every epoch."""

import logging
import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from tqdm.auto import tqdm

from cgan.callbacks.protocol import gan
from cgan.callbacks.quality import EVALUATED
from cgan.metrics.values import beside_real

log = logging.getLogger(__name__)
LOSSES = {"d_loss": "D", "g_loss": "G"}


class Progress(pl.callbacks.ProgressBar):
    """A bar over all images of the run, and per epoch its time, mean losses, and quality beside real images.

    The lines of the epochs are log messages, so ``train.log`` holds them too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._outputs: list[dict[str, Tensor]] = []
        self._epoch_started_at = 0.0

    def disable(self) -> None:
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.bar = tqdm(
            total=gan(pl_module).total_images(),
            initial=gan(pl_module).images_seen,
            unit="img",
            unit_scale=True,
            mininterval=0.5,
            ncols=80,
            disable=not self._enabled,
        )
        self._epoch_started_at = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._outputs, self._epoch_started_at = [], time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar; losses are read only when it is redrawn, since reading waits for the device."""
        self._outputs.append({name: outputs[name] for name in LOSSES if name in outputs})
        if self.bar.update(gan(pl_module).images_seen - self.bar.n):
            self.bar.set_description(f"epoch {_epoch(trainer)}", refresh=False)
            losses = [f"{LOSSES[name]} {float(outputs[name]):.2f}" for name in LOSSES if name in outputs]
            self.bar.set_postfix_str(" ".join(losses), refresh=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        parts = [f"Epoch {_epoch(trainer)}", self._seconds(), *self._losses()]
        metrics = trainer.callback_metrics
        if metrics.get(EVALUATED) == trainer.current_epoch + 1:
            names = [name for name in metrics if f"real/{name}" in metrics and "/" not in name]  # "/": of one class
            # What is logged by name alone is for other callbacks; the first values say enough on one line.
            parts += [beside_real(name, float(metrics[name]), float(metrics[f"real/{name}"])) for name in names[:2]]
        with self.bar.external_write_mode():
            log.info("  ".join(parts))

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error stands on a line of its own; there is no teardown after one."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def _seconds(self) -> str:
        seconds = time.perf_counter() - self._epoch_started_at
        return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"

    def _losses(self) -> list[str]:
        columns = {name: [row[name] for row in self._outputs if name in row] for name in LOSSES}
        return [f"{LOSSES[name]} loss {float(torch.stack(rows).mean()):.3f}" for name, rows in columns.items() if rows]


def _epoch(trainer: pl.Trainer) -> str:
    """Say which epoch it is, of how many if the run ends."""
    return f"{trainer.current_epoch + 1}" + (f"/{trainer.max_epochs}" if trainer.max_epochs != -1 else "")
