"""Losses, logits and quality as curves, in one picture: curves.png."""

from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from cgan.callbacks.statistics import PANELS
from cgan.files import read_lines
from cgan.records.evaluation import FILE, read_evaluation
from cgan.reporting.plots import figure_png, write_as_is

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
ALWAYS = ("Losses", "Mean logits of the discriminator")
ADAPTIVE = "Adaptive augmentation"


class Curves(pl.Callback):
    """Draw ``curves.png`` at epoch ends."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @rank_zero_only
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        (self.folder / "curves.png").write_bytes(draw_curves(self.folder))


def draw_curves(folder: Path) -> bytes:
    """Draw, as PNG, losses, logits, an adaptive augmentation, and each quality value beside that of real images."""
    rows = read_lines(folder / "metrics.jsonl")
    panels = [Panel(title, {name: _points(rows, tag) for tag, name in PANELS[title].items()}) for title in ALWAYS]
    adaptive = Panel(ADAPTIVE, {name: _points(rows, tag) for tag, name in PANELS[ADAPTIVE].items()})
    panels += [adaptive] if any(adaptive.lines.values()) else []
    panels += _quality_panels(folder / FILE) if (folder / FILE).is_file() else []
    down = -(-len(panels) // 2)
    height = 3.2 * down
    figure = Figure(figsize=(11, height))  # margins by number: a layout that is computed takes as long as the drawing
    spaces = list(figure.subplots(down, 2, squeeze=False).flat)
    figure.subplots_adjust(0.055, 0.55 / height, 0.985, 1 - 0.35 / height, wspace=0.14, hspace=0.4)
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
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")  # short: there is no room for powers of ten
        axes.yaxis.set_minor_formatter(NullFormatter())
    write_as_is(axes.set_title(title))
    axes.set_xlabel("real images seen")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 60k, 1.2M
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend()
