"""A callback: a line of text for each epoch, in the run folder."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl


class Diary(pl.Callback):
    """Write the last losses of every epoch into ``diary.txt``."""

    def __init__(self) -> None:
        self.losses: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep what the step returned: the losses, and what else is drawn as curves."""
        self.losses = {name: float(outputs[name]) for name in ("d_loss", "g_loss")}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add a line; quality's values stand in ``trainer.callback_metrics``, where they were measured."""
        measured = {
            name: float(trainer.callback_metrics[name]) for name in ("fid",) if name in trainer.callback_metrics
        }
        with (Path(str(trainer.default_root_dir)) / "diary.txt").open("a") as file:
            file.write(f"epoch {trainer.current_epoch + 1}: {self.losses | measured}\n")
