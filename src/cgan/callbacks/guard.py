"""Stop a run that cannot recover."""

from typing import Any

import lightning.pytorch as pl
import torch

from cgan.errors import CganError
from cgan.module import ConditionalGAN


class Guard(pl.Callback):
    """Stop at the first loss or gradient that is not finite, before a checkpoint could be overwritten."""

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the chunk's means: one value that is not finite makes its mean so.

        Raises:
            CganError: Training has diverged.
        """
        assert isinstance(pl_module, ConditionalGAN)
        if not torch.stack(list(outputs.values())).isfinite().all():  # one wait for the device, not one per value
            bad = [f"{name}={float(value)}" for name, value in outputs.items() if not value.isfinite()]
            raise CganError(
                f"training diverged at step {pl_module.steps}: {', '.join(bad)}. The checkpoints of earlier epochs are "
                "untouched; lower optimizer.lr or raise the penalty's gamma, and resume with ckpt=last"
            )
