"""Images per second, and the share of time that watching takes."""

import time
from typing import Any

import lightning.pytorch as pl

from cgan.callbacks.protocol import gan
from cgan.hardware import describe_hardware
from cgan.tracking import log_values


class Throughput(pl.Callback):
    """Log real images per second of training at the end of every epoch, as ``speed/images_per_s``.

    The clock runs from an epoch's first batch to its last, so grids and metrics between epochs do not count; they are
    logged as ``time/quality_s``, beside the epoch's own ``time/train_s``. Checkpoints hold the hardware and the seconds
    of training until then.
    """

    def __init__(self) -> None:
        self.images_per_second = 0.0
        self._earlier_seconds = self._seconds = 0.0
        self._started_at = 0.0
        self._images_at_start = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock also where a resumed run goes on within an epoch, whose start has been."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started_at, self._images_at_start = time.perf_counter(), gan(pl_module).images_seen

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._seconds = time.perf_counter() - self._started_at
        self.images_per_second = (gan(pl_module).images_seen - self._images_at_start) / self._seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_values(pl_module, {"speed/images_per_s": self.images_per_second, "time/train_s": self._seconds})
        self._earlier_seconds, self._seconds = self._earlier_seconds + self._seconds, 0.0

    def state_dict(self) -> dict[str, float]:
        return {"seconds": round(self._earlier_seconds + self._seconds, 3)}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self._earlier_seconds = state_dict["seconds"]

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Name the hardware beside the seconds, which mean nothing without it."""
        checkpoint["hardware"] = describe_hardware(pl_module.device, trainer.world_size)
        checkpoint |= self.state_dict()
