"""Values as pictures: bars beside the floor, heat maps per class, confusion matrices."""

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cgan.reporting.table import Columns, goal

BARS_PER_LINE = 4
Curve = list[dict[str, float]]


def overview(columns: Columns, floor: str, class_names: tuple[str, ...]) -> bytes:
    """Draw a panel of bars per value and a heat map per kind of class value, as one PNG.

    Args:
        columns: Values by tag, by name.
        floor: The name of the column with real test images: a dashed line in each panel.
        class_names: One per class.
    """
    tags = [tag for tag in columns[floor] if "/" not in tag and goal(tag)]
    kinds = list(dict.fromkeys(tag.partition("/")[0] for tag in columns[floor] if "/" in tag))
    lines = -(-len(tags) // BARS_PER_LINE)
    map_height = 1.0 + 0.35 * len(columns)
    bar_height = 1.4 + 0.24 * len(columns)
    figure = Figure(figsize=(14, lines * bar_height + len(kinds) * map_height), layout="constrained")
    spaces = figure.add_gridspec(lines + len(kinds), 1, height_ratios=[bar_height] * lines + [map_height] * len(kinds))
    for line in range(lines):
        panels = spaces[line].subgridspec(1, BARS_PER_LINE)
        for place, tag in enumerate(tags[line * BARS_PER_LINE : (line + 1) * BARS_PER_LINE]):
            axes = figure.add_subplot(panels[place])
            _bars(axes, tag, columns, floor)
            axes.tick_params(axis="y", labelleft=place == 0)
    for line, kind in enumerate(kinds, start=lines):
        _class_map(figure.add_subplot(spaces[line]), kind, columns, class_names)
    return _png(figure)


def confusion_matrices(tables: dict[str, Tensor], class_names: tuple[str, ...]) -> bytes:
    """Draw a matrix per set of samples, rows asked for, columns read, in percent of the row; as PNG."""
    across = min(len(tables), 3)
    down = -(-len(tables) // across)
    figure = Figure(figsize=(5.2 * across, 5.2 * down), layout="constrained")
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for unused in panels[len(tables) :]:
        unused.set_axis_off()
    for axes, (name, table) in zip(panels, tables.items(), strict=False):
        share = 100 * table.numpy() / table.sum(1, keepdim=True).clamp(min=1).numpy()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        _ticks(axes, class_names, class_names)
        _write_cells(axes, share, dark=share > 50, form="{:.1f}")
        axes.set(title=f"{name}: read as (percent)", ylabel="asked for")
    return _png(figure)


def learning_curves(curves: dict[str, list[Curve]], floor: float | None) -> bytes:
    """Draw Fréchet distance and misread share against minutes, a colour per kind of run, a line per run; as PNG.

    Args:
        curves: By kind of run, entries with ``seconds``, ``fid`` and ``label_agreement``.
        floor: The distance of real test images: a dashed line.
    """
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (kind, runs) in enumerate(curves.items()):
        for number, run in enumerate(runs):
            style = {"color": f"C{place % 10}", "label": None if number else kind, "linewidth": 1.2}
            minutes = [entry["seconds"] / 60 for entry in run]
            left.plot(minutes, [entry.get("fid", np.nan) for entry in run], **style)
            right.plot(minutes, [100 - 100 * entry.get("label_agreement", np.nan) for entry in run], **style)
    if floor is not None:
        left.axhline(floor, color="black", linestyle="--", linewidth=1)
        left.text(0.01, floor, "real test images", transform=left.get_yaxis_transform(), va="bottom", fontsize=8)
    left.set(title="Fréchet distance", xlabel="minutes", yscale="log")
    right.set(title="Samples that are not read as asked for, percent", xlabel="minutes", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", fontsize=8)
    return _png(figure)


def _bars(axes: Axes, tag: str, columns: Columns, floor: str) -> None:
    names = [name for name in columns if name != floor]
    values = [columns[name].get(tag, np.nan) for name in names]
    axes.barh(names, values, color=[f"C{place % 10}" for place in range(len(names))])
    axes.axvline(columns[floor][tag], color="black", linestyle="--", linewidth=1)
    wish = {"lower": "lower is better", "higher": "higher is better", "at most floor": "at most the floor"}
    axes.set_title(f"{tag}\n{wish.get(goal(tag), f'near {goal(tag)}')}, floor {columns[floor][tag]:.3g}", fontsize=9)
    for place, value in enumerate(values):
        axes.text(1.02, place, f"{value:.3g}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.locator_params(axis="x", nbins=4)
    if not any(values) and not columns[floor][tag]:
        axes.set_xlim(0, 0.01)  # nothing to show: the usual range would reach below zero
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


def _class_map(axes: Axes, kind: str, columns: Columns, class_names: tuple[str, ...]) -> None:
    table = np.array(
        [[values.get(f"{kind}/{k}", np.nan) for k in range(len(class_names))] for values in columns.values()]
    )
    badness = np.log(np.maximum(table, 1e-6)) if goal(kind + "_") == "lower" else -table
    axes.imshow(badness, cmap="YlOrRd", aspect="auto")
    _ticks(axes, class_names, list(columns))
    spread = np.nanmax(badness) - np.nanmin(badness)
    _write_cells(axes, table, dark=badness - np.nanmin(badness) > 0.6 * spread, form="{:.3g}")
    axes.set_title(f"{kind} per class, dark is bad", fontsize=10)


def _ticks(axes: Axes, across: tuple[str, ...], down: tuple[str, ...] | list[str]) -> None:
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)


def _write_cells(axes: Axes, values: np.ndarray, *, dark: np.ndarray, form: str) -> None:
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if dark[row, column] else "black"
        axes.text(column, row, form.format(value), ha="center", va="center", color=ink, fontsize=8)


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=90)
    return out.getvalue()
