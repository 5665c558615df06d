"""Losses, logits, gradient norms and learning rates as curves: TensorBoard, metrics.jsonl, curves.png."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from torch import Tensor

from cgan.callbacks.protocol import gan
from cgan.files import read_lines
from cgan.records.evaluation import FILE, read_evaluation
from cgan.reporting.plots import figure_png
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
COLORS = {
    "discriminator": "#c0392b",
    "generator": "#2f55c8",
    "penalty": "#e8871e",
    "regulariser": "#3a9d5d",
    "real images": "#555b66",
    "generated images": "#2f55c8",
    "real images, wrong label": "#e8871e",
    "overfitting": "#c0392b",
    "strength": "#3a9d5d",
}
"""Each side has one colour in all panels."""


class Curves(pl.Callback):
    """Log the mean of every training number about every ``every_n_images`` and draw ``curves.png`` at epoch ends."""

    def __init__(self, folder: str, every_n_images: int) -> None:
        self.folder = Path(folder)
        self.every_n_images = every_n_images
        self._since_last: list[dict[str, Tensor | float]] = []
        self._last_logged = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        log_charts(pl_module, "Training", {title: list(lines) for title, lines in PANELS.items()})

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
        if trainer.is_global_zero:
            (self.folder / "curves.png").write_bytes(draw_curves(self.folder))

    def _log(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        names = {name for chunk in self._since_last for name in chunk}
        values = {
            TAGS[name]: float(torch.tensor([float(chunk[name]) for chunk in self._since_last if name in chunk]).mean())
            for name in sorted(names)
        }
        for side, optimizer in zip("dg", trainer.optimizers, strict=True):
            values[f"training/learning_rate_{side}"] = optimizer.param_groups[0]["lr"]
        log_values(module, values)
        self._since_last, self._last_logged = [], gan(module).images_seen

    def state_dict(self) -> dict[str, Any]:
        """Return what is not logged yet, so that a run resumed within an epoch, on any device, logs the same points."""
        since_last = [{name: float(value) for name, value in chunk.items()} for chunk in self._since_last]
        return {"since_last": since_last, "last_logged": self._last_logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._since_last, self._last_logged = list(state_dict["since_last"]), state_dict["last_logged"]


def draw_curves(folder: Path) -> bytes:
    """Draw, as PNG, losses, logits, and each quality value beside that of real images, over the images seen."""
    rows = read_lines(folder / "metrics.jsonl")
    panels = [
        Panel(title, {name: _points(rows, tag) for tag, name in lines.items()})
        for title, lines in list(PANELS.items())[:2]
    ]
    panels += _quality_panels(folder / FILE) if (folder / FILE).is_file() else []
    down = -(-len(panels) // 2)
    figure = Figure(figsize=(11, 3.2 * down), layout="constrained")
    spaces = list(figure.subplots(down, 2, squeeze=False).flat)
    for axes, panel in zip(spaces, panels, strict=False):
        _draw_panel(axes, panel)
    for unused in spaces[len(panels) :]:
        unused.set_axis_off()
    return figure_png(figure, dpi=80)


Points = list[tuple[float, float]]


class Panel(NamedTuple):
    """One panel: its title, lines by name (a name of :data:`COLORS`), and the value of real images."""

    title: str
    lines: dict[str, Points]
    real: float | None = None


def _points(rows: list[dict[str, Any]], tag: str) -> Points:
    return [(row["images_seen"], row[tag]) for row in rows if tag in row]


def _quality_panels(path: Path) -> list[Panel]:
    record = read_evaluation(path)
    entry = record.entries[0]
    panels = []
    for name in entry.values:
        points: Points = [(point.images_seen, point.values[name]) for point in entry.curve if name in point.values]
        panels.append(Panel(record.describe(name).title, {"generated images": points}, record.real.values.get(name)))
    return panels


def _draw_panel(axes: Axes, panel: Panel) -> None:
    title, lines, real = panel
    for name, points in lines.items():
        if points:
            marker = "." if len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), color=COLORS[name], label=name, marker=marker)
    if real is not None:
        axes.axhline(real, color=COLORS["real images"], linestyle="--", label="real images")
    values = [value for points in lines.values() for _, value in points] + ([] if real is None else [real])
    if real is not None and min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set(title=title, xlabel="real images seen")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 60k, 1.2M
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend()
