"""Evaluation records as figures: bars beside real images, heat maps per class, confusion matrices."""

import io
import warnings
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from cgan.metrics.values import Description, short
from cgan.records.evaluation import EvaluationRecord
from cgan.reporting.table import MAX_CLASSES, columns, shown
from cgan.sampling.grids import drawable, font_of

BARS_PER_LINE = 3


def overview(record: EvaluationRecord) -> bytes:
    """Draw a panel of bars per value, real images as a dashed line, and a heat map per value per class; as PNG."""
    bars = [description for description in shown(record) if description.direction != "none"]  # no mere deviations
    maps = shown(record, per_class=True)
    lines = -(-len(bars) // BARS_PER_LINE)
    map_height = 1.0 + 0.35 * (len(record.entries) + 1)
    bar_height = 1.4 + 0.24 * (len(record.entries) + 1)
    figure = Figure(figsize=(10.5, lines * bar_height + len(maps) * map_height), layout="constrained")
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
    names, titles = drawable(record.class_names), drawable(list(tables))
    figure = Figure(figsize=(5.2 * across, 5.2 * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in panels[len(tables) :]:
        unused.set_axis_off()
    for axes, title, table in zip(panels, titles, tables.values(), strict=False):
        counts = np.array(table)
        share = 100 * counts / counts.sum(1, keepdims=True).clip(min=1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        _ticks(axes, names, names, upright=sum(map(len, names)) > 40)
        _write_cells(axes, share, dark=share > 50, form="{:.1f}".format)
        axes.set(xlabel="read as", ylabel="requested class")
        write_as_is(axes.set_title(f"{title}, percent"))
    return figure_png(figure)


def _bars(axes: Axes, description: Description, record: EvaluationRecord) -> None:
    values = [entry.values.get(description.name, np.nan) for entry in record.entries]
    real = record.real.values.get(description.name, np.nan)
    axes.barh(range(len(values)), values, color=[f"C{place % 10}" for place in range(len(values))])
    _names(axes.yaxis, drawable([entry.name for entry in record.entries]))
    axes.axvline(real, color="black", linestyle="--", linewidth=1)
    about = ", ".join(filter(None, [description.advice, f"real {short(real)}"]))
    write_as_is(axes.set_title(f"{description.title}\n{about}", fontsize=9))
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
    _ticks(axes, drawable(record.class_names), drawable(list(sides)), letters=max(3, 150 // classes))
    spread = np.nanmax(badness) - np.nanmin(badness)
    _write_cells(axes, table, dark=badness - np.nanmin(badness) > 0.6 * spread, form=short)
    write_as_is(axes.set_title(f"{description.title}, dark is bad", fontsize=10))


def _ticks(axes: Axes, across: list[str], down: list[str], *, letters: int = 20, upright: bool = False) -> None:
    _names(axes.xaxis, across, letters, rotation=90 if upright else 0)
    _names(axes.yaxis, down)


def _names(axis: Axis, names: list[str], letters: int = 30, rotation: int = 0) -> None:
    axis.set_ticks(range(len(names)), [_cut(name, letters) for name in names], rotation=rotation)
    for label in axis.get_ticklabels():
        write_as_is(label)


def write_as_is(text: Text) -> None:
    """Write a name or a title in a font that has its letters, and not as a formula."""
    path = str(font_of(text.get_text().replace("\n", " ")).path)
    text.set(fontproperties=FontProperties(fname=path, size=text.get_fontsize()), parse_math=False)


def _cut(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _write_cells(axes: Axes, values: np.ndarray, *, dark: np.ndarray, form: Callable[[float], str]) -> None:
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if dark[row, column] else "black"
        axes.text(column, row, form(value), ha="center", va="center", color=ink, fontsize=8)


def figure_png(figure: Figure, dpi: int = 90) -> bytes:
    """Return a figure as PNG."""
    out = io.BytesIO()
    with warnings.catch_warnings():  # of titles in scripts that no font has: boxes are drawn
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(out, format="png", dpi=dpi)
    return out.getvalue()
