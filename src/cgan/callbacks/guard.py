"""Stop a run that cannot recover, or step over the steps that would spoil it."""

import logging
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import nn

from cgan.callbacks.protocol import gan
from cgan.errors import CganError, check_choice
from cgan.records.layout import checkpoints_of

log = logging.getLogger(__name__)
LONGEST_ROW = 100


class Guard(pl.Callback):
    """Watch for losses, gradients and weights that are not finite; none of them ever reaches a checkpoint.

    Args:
        mode: ``stop`` ends the run at the first one. ``skip`` leaves out every optimiser step whose gradients are not
            finite, which waits for the device at each step, and ends the run after 100 left-out steps in a row.
    """

    def __init__(self, mode: Literal["stop", "skip"]) -> None:
        check_choice("guard", mode, ("stop", "skip"))
        self.mode = mode
        self._in_a_row = {"d": 0, "g": 0}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """In mode ``skip``, take gradients that are not finite away: without gradients nothing is updated."""
        if self.mode == "stop":
            return
        weights = [weight for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
        norm = nn.utils.get_total_norm([weight.grad for weight in weights])
        side = "d" if optimizer is trainer.optimizers[0] else "g"
        if norm.isfinite():
            self._in_a_row[side] = 0
            return
        for weight in weights:
            weight.grad = None
        self._in_a_row[side] += 1
        log.warning(
            "Step %d: gradient norm of %s is %s; its update is left out", gan(pl_module).steps + 1, side, float(norm)
        )
        if self._in_a_row[side] == LONGEST_ROW:
            raise CganError(
                f"training diverged: no finite gradient of {side} in {LONGEST_ROW} updates in a row; {_advice(trainer)}"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """In mode ``stop``, look at the chunk's means: one value that is not finite makes its mean so."""
        if self.mode == "skip" or torch.stack(list(outputs.values())).isfinite().all():  # one wait, not one per value
            return
        bad = [f"{name}={float(value)}" for name, value in outputs.items() if not value.isfinite()]
        first = gan(pl_module).steps - len(batch[1]) + 1
        where = f"step {first}" if first == gan(pl_module).steps else f"steps {first} to {gan(pl_module).steps}"
        raise CganError(f"training diverged in {where}: {', '.join(bad)}; {_advice(trainer)}")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse to write weights that are not finite; the checkpoint before stays."""
        bad = [name for name, weight in checkpoint["state_dict"].items() if not weight.isfinite().all()]
        if bad:
            raise CganError(
                f"training diverged: {bad[0]} holds NaN or infinity, nothing was written; {_advice(trainer)}"
            )


def _advice(trainer: pl.Trainer) -> str:
    """Say what may help, and from where: a checkpoint of this run, if it has one, is from before it diverged."""
    folder = Path(trainer.default_root_dir)
    has_checkpoint = bool(checkpoints_of(folder))
    from_where = f"go on with ckpt={folder}, whose checkpoints are sound" if has_checkpoint else "start again"
    return f"lower optimizer.lr, or raise penalty.gamma where there is a penalty, and {from_where}"
