"""One bar for the whole run."""

from typing import Any

import lightning.pytorch as pl
from tqdm import tqdm

from cgan.module import ConditionalGAN


class Progress(pl.callbacks.ProgressBar):
    """A bar over all images of the run: epoch, losses, images per second, time left, and the last quality values."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True

    def disable(self) -> None:
        """Off rank 0 there is no bar."""
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the images seen so far."""
        assert isinstance(pl_module, ConditionalGAN)
        self.bar = tqdm(
            total=pl_module.total_images(),
            initial=pl_module.images_seen,
            unit="img",
            unit_scale=True,
            mininterval=0.5,
            dynamic_ncols=True,
            disable=not self._enabled,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar; losses are read only when it is redrawn, since reading waits for the device."""
        assert isinstance(pl_module, ConditionalGAN)
        if self.bar.update(pl_module.images_seen - self.bar.n):
            words = {name: f"{float(outputs[name]):.3f}" for name in ("d_loss", "g_loss") if name in outputs}
            words |= {name: f"{float(value):.3g}" for name, value in trainer.callback_metrics.items() if name == "fid"}
            self.bar.set_description(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", refresh=False)
            self.bar.set_postfix(words, refresh=False)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error stands on a line of its own; there is no teardown after one."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Close the bar."""
        if hasattr(self, "bar"):
            self.bar.close()
