"""Evaluation records as figures: bars beside real images, heat maps per class, confusion matrices."""

import io
import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan.metrics.values import Description, short
from cgan.records.evaluation import EvaluationRecord
from cgan.reporting.table import MAX_CLASSES, columns, shown
from cgan.sampling.grids import drawable, font_of

BARS_PER_LINE = 4


def overview(record: EvaluationRecord) -> bytes:
    """Draw a panel of bars per value, real images as a dashed line, and a heat map per value per class; as PNG."""
    bars = [description for description in shown(record) if description.direction != "none"]  # no mere deviations
    maps = shown(record, per_class=True)
    lines = -(-len(bars) // BARS_PER_LINE)
    map_height = 1.0 + 0.35 * (len(record.entries) + 1)
    bar_height = 1.4 + 0.24 * (len(record.entries) + 1)
    figure = Figure(figsize=(14, lines * bar_height + len(maps) * map_height), layout="constrained")
    spaces = figure.add_gridspec(lines + len(maps), 1, height_ratios=[bar_height] * lines + [map_height] * len(maps))
    for line in range(lines):
        panels = spaces[line].subgridspec(1, BARS_PER_LINE)
        for place, description in enumerate(bars[line * BARS_PER_LINE : (line + 1) * BARS_PER_LINE]):
            axes = figure.add_subplot(panels[place])
            _bars(axes, description, record)
            axes.tick_params(axis="y", labelleft=place == 0)
    for line, description in enumerate(maps, start=lines):
        _class_map(figure.add_subplot(spaces[line]), description, record)
    return figure_png(figure)


def confusion_matrices(record: EvaluationRecord) -> bytes | None:
    """Draw a matrix per entry, rows requested, columns read, in percent of the row; as PNG, None without matrices."""
    tables = {name: entry.confusion for name, entry in columns(record).items() if entry.confusion}
    if not tables or len(record.class_names) > MAX_CLASSES:
        return None
    across = min(len(tables), 3)
    down = -(-len(tables) // across)
    names = drawable(record.class_names)
    figure = Figure(figsize=(5.2 * across, 5.2 * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in panels[len(tables) :]:
        unused.set_axis_off()
    for axes, (title, table) in zip(panels, tables.items(), strict=False):
        counts = np.array(table)
        share = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        _ticks(axes, names, names, upright=sum(map(len, names)) > 40)
        _write_cells(axes, share, dark=share > 50, form="{:.1f}")
        axes.set(title=f"{title}, percent", xlabel="read as", ylabel="requested class")
    return figure_png(figure)


def _bars(axes: Axes, description: Description, record: EvaluationRecord) -> None:
    values = [entry.values.get(description.name, np.nan) for entry in record.entries]
    real = record.real.values.get(description.name, np.nan)
    axes.barh(
        [entry.name for entry in record.entries], values, color=[f"C{place % 10}" for place in range(len(values))]
    )
    axes.axvline(real, color="black", linestyle="--", linewidth=1)
    axes.set_title(
        f"{description.title}\n{', '.join(filter(None, [description.advice, f'real {short(real)}']))}", fontsize=9
    )
    for place, value in enumerate(values):
        axes.text(1.02, place, short(value), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.locator_params(axis="x", nbins=4)
    if not any(values) and not real:
        axes.set_xlim(0, 0.01)  # nothing to show: the usual range would reach below zero
        axes.set_xticks([0])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _class_map(axes: Axes, description: Description, record: EvaluationRecord) -> None:
    sides, classes = columns(record), len(record.class_names)
    table = np.full((len(sides), classes), np.nan)
    for row, entry in enumerate(sides.values()):
        values = entry.class_values.get(description.name, [])[:classes]
        table[row, : len(values)] = [np.nan if value is None else value for value in values]
    badness = np.log(np.maximum(table, 1e-6)) if description.direction == "lower" else -table
    axes.imshow(badness, cmap="YlOrRd", aspect="auto")
    _ticks(axes, drawable(record.class_names), list(sides), letters=max(3, 150 // classes))
    spread = np.nanmax(badness) - np.nanmin(badness)
    _write_cells(axes, table, dark=badness - np.nanmin(badness) > 0.6 * spread, form="{:.3g}")
    axes.set_title(f"{description.title}, dark is bad", fontsize=10)


def _ticks(axes: Axes, across: list[str], down: list[str], *, letters: int = 20, upright: bool = False) -> None:
    across, down = [_cut(name, letters) for name in across], [_cut(name, 30) for name in down]
    axes.set_xticks(range(len(across)), across, rotation=90 if upright else 0, parse_math=False)
    axes.set_yticks(range(len(down)), down, parse_math=False)
    for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        label.set_fontproperties(Path(str(font_of(label.get_text()).path)))


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _write_cells(axes: Axes, values: np.ndarray, *, dark: np.ndarray, form: str) -> None:
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if dark[row, column] else "black"
        axes.text(column, row, form.format(value), ha="center", va="center", color=ink, fontsize=8)


def figure_png(figure: Figure, dpi: int = 90) -> bytes:
    """Return a figure as PNG."""
    out = io.BytesIO()
    with warnings.catch_warnings():  # of run names in scripts that the font lacks: boxes are drawn
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()
