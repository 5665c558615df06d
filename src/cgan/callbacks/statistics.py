"""Losses, logits, gradient norms and learning rates for the loggers and metrics.jsonl."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.callbacks.protocol import gan
from cgan.errors import check_whole
from cgan.tracking import log_charts, log_values

TAGS = {
    "d_loss": "loss/d",
    "g_loss": "loss/g",
    "penalty": "loss/penalty",
    "regulariser": "loss/regulariser",
    "d_real": "training/logits_real",
    "d_fake": "training/logits_fake",
    "d_mismatched": "training/logits_mismatched",
    "d_overfitting": "training/overfitting",
    "augment_strength": "training/augment_strength",
    "d_grad_norm": "training/gradient_norm_d",
    "g_grad_norm": "training/gradient_norm_g",
}
"""Tags of the statistics of a step; by their names TensorBoard opens on losses and quality."""
PANELS = {
    "Losses": {
        "loss/d": "discriminator",
        "loss/g": "generator",
        "loss/penalty": "penalty",
        "loss/regulariser": "regulariser",
    },
    "Mean logits of the discriminator": {
        "training/logits_real": "real images",
        "training/logits_fake": "generated images",
        "training/logits_mismatched": "real images, wrong label",
    },
    "Adaptive augmentation": {"training/overfitting": "overfitting", "training/augment_strength": "strength"},
    "Gradient norms": {"training/gradient_norm_d": "discriminator", "training/gradient_norm_g": "generator"},
    "Learning rates": {"training/learning_rate_d": "discriminator", "training/learning_rate_g": "generator"},
}
"""Charts: lines by tag."""


class Statistics(pl.Callback):
    """Log the mean of every training number about every ``every_n_images``."""

    def __init__(self, every_n_images: int) -> None:
        check_whole("callbacks.statistics.every_n_images", every_n_images, 1)
        self.every_n_images = every_n_images
        self._since_last: list[dict[str, Tensor | float]] = []
        self._last_logged = 0
        self._laid_out = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Collect the mean over all ranks, each of which saw its share of the batch; log when enough have passed."""
        values = trainer.strategy.reduce(torch.stack(list(outputs.values())), reduce_op="mean")
        self._since_last.append({name: value for name, value in zip(outputs, values, strict=True) if name in TAGS})
        if gan(pl_module).images_seen - self._last_logged >= self.every_n_images:
            self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._since_last:
            self._log(trainer, pl_module)

    def _log(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        names = {name for chunk in self._since_last for name in chunk}
        values = {
            TAGS[name]: float(torch.tensor([float(chunk[name]) for chunk in self._since_last if name in chunk]).mean())
            for name in sorted(names)
        }
        for side, optimizer in zip("dg", trainer.optimizers, strict=True):
            values[f"training/learning_rate_{side}"] = optimizer.param_groups[0]["lr"]
        if not self._laid_out:  # charts of what this run has
            log_charts(
                module, "Training", {title: list(lines) for title, lines in PANELS.items() if lines.keys() & values}
            )
            self._laid_out = True
        log_values(module, values)
        self._since_last, self._last_logged = [], gan(module).images_seen

    def state_dict(self) -> dict[str, Any]:
        """Return what is not logged yet, so that a run resumed within an epoch, on any device, logs the same points."""
        since_last = [{name: float(value) for name, value in chunk.items()} for chunk in self._since_last]
        return {"since_last": since_last, "last_logged": self._last_logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._since_last, self._last_logged = list(state_dict["since_last"]), state_dict["last_logged"]
