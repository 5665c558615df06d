"""Losses, logits, gradient norms and learning rates as curves: TensorBoard, metrics.jsonl, curves.png."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from torch import Tensor

from cgan.files import read_lines
from cgan.module import ConditionalGAN
from cgan.tracking import log_values, tensorboard

TAGS = {
    "d_loss": "loss/d",
    "g_loss": "loss/g",
    "penalty": "loss/penalty",
    "d_real": "logits/real",
    "d_fake": "logits/fake",
    "d_mismatched": "logits/mismatched",
    "d_grad_norm": "gradient_norm/d",
    "g_grad_norm": "gradient_norm/g",
}
PANELS = {
    "Losses": ["loss/d", "loss/g", "loss/penalty"],
    "D(real), D(fake), D(mismatched), mean logits": ["logits/real", "logits/fake", "logits/mismatched"],
    "Gradient norms": ["gradient_norm/d", "gradient_norm/g"],
    "Learning rates": ["learning_rate/d", "learning_rate/g"],
}


class Curves(pl.Callback):
    """Log the mean of every training number about every ``every_n_images`` and draw ``curves.png`` at epoch ends.

    Args:
        folder: The run folder.
        every_n_images: Distance of two points of a curve.
    """

    def __init__(self, folder: str, every_n_images: int) -> None:
        self.folder = Path(folder)
        self.every_n_images = every_n_images
        self._since_last: list[dict[str, Tensor | float]] = []
        self._last_logged = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lay the custom-scalars page of TensorBoard out, so that it reads well unprepared."""
        assert isinstance(pl_module, ConditionalGAN)
        if board := tensorboard(pl_module):
            board.add_charts("Training", PANELS)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Collect the mean over all ranks, each of which saw its share of the batch; log when enough have passed."""
        assert isinstance(pl_module, ConditionalGAN)
        values = trainer.strategy.reduce(torch.stack(list(outputs.values())), reduce_op="mean")
        self._since_last.append({name: value for name, value in zip(outputs, values, strict=True) if name in TAGS})
        if pl_module.images_seen - self._last_logged >= self.every_n_images:
            self._log(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log what is left of the epoch and draw the curves so far."""
        assert isinstance(pl_module, ConditionalGAN)
        if self._since_last:
            self._log(trainer, pl_module)
        self._draw()

    def _log(self, trainer: pl.Trainer, module: ConditionalGAN) -> None:
        names = {name for chunk in self._since_last for name in chunk}
        values = {
            TAGS[name]: float(torch.tensor([float(chunk[name]) for chunk in self._since_last if name in chunk]).mean())
            for name in sorted(names)
        }
        for side, optimizer in zip("dg", trainer.optimizers, strict=True):
            values[f"learning_rate/{side}"] = optimizer.param_groups[0]["lr"]
        log_values(module, values)
        self._since_last, self._last_logged = [], module.images_seen

    def state_dict(self) -> dict[str, Any]:
        """Return what is not logged yet, so that a run resumed within an epoch, on any device, logs the same points."""
        since_last = [{name: float(value) for name, value in chunk.items()} for chunk in self._since_last]
        return {"since_last": since_last, "last_logged": self._last_logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on collecting."""
        self._since_last, self._last_logged = list(state_dict["since_last"]), state_dict["last_logged"]

    @rank_zero_only
    def _draw(self) -> None:
        draw_curves(self.folder / "metrics.jsonl", self.folder / "curves.png")


def draw_curves(metrics: Path, out: Path) -> None:
    """Draw a run's ``metrics.jsonl`` over images seen: losses, logits, quality beside that of real images."""
    rows = read_lines(metrics)
    quality = sorted({tag for row in rows for tag in row if tag.startswith("quality/")})
    panels = {title: PANELS[title] for title in list(PANELS)[:2]}
    panels |= {tag.removeprefix("quality/"): [tag, tag.replace("quality/", "real/")] for tag in quality}
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.2 * lines), layout="constrained")
    for axes, (title, tags) in zip(figure.subplots(lines, 2, squeeze=False).flat, panels.items(), strict=False):
        for tag in tags:
            points = [(row["images_seen"], row[tag]) for row in rows if tag in row]
            style = {"color": "grey", "linestyle": "--"} if tag.startswith("real/") else {}
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=tag.split("/", 1)[-1] if not style else "real images", **style
                )
        axes.set(title=title, xlabel="real images seen")
        if title.startswith("fid"):
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    figure.savefig(out, dpi=80)
