"""What presets reach over several seeds: ``python tools/presets.py [docs/study] [docs/quality.md]``.

Reads evaluation records, groups their runs by command whatever the seed, and writes a table between two marks of the
page and a plot beside it.
"""

import re
import statistics
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from baselines import main, read_all
from cgan.errors import CganError
from cgan.files import write_file
from cgan.records.evaluation import CurvePoint, Entry, EvaluationRecord
from cgan.reporting.plots import figure_png
from cgan.reporting.table import markdown_table

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PLOT = Path("images") / "quality.png"
SHOWN = {
    "fid": "{:.3f}",
    "label_agreement": "{:.4f}",
    "label_agreement_worst": "{:.3f}",
    "precision": "{:.3f}",
    "recall": "{:.3f}",
    "coverage": "{:.3f}",
    "variance_ratio": "{:.3f}",
    "cas": "{:.4f}",
}
"""Values of the table, each with the way to write it."""
Runs = dict[str, list[Entry]]
"""Runs by what they share: their command without its seed."""


def run(folder: Path, page: Path) -> str:
    """Write table and plot of all evaluation records in ``folder``; return the page's new text.

    Raises:
        CganError: There is no record, one is damaged, or the page lacks the two marks.
    """
    records = read_all(folder)
    text = page.read_text() if page.is_file() else f"{BEGIN}\n{END}\n"
    if BEGIN not in text or END not in text:
        raise CganError(f"{page}: expected the marks {BEGIN} and {END}, between which the table goes")
    runs = by_command([entry for record in records for entry in record.entries])
    table = medians(runs, records[0])
    curves = {command: [entry.curve for entry in entries if entry.curve] for command, entries in runs.items()}
    write_file(page.parent / PLOT, learning_curves(curves, records[0].real.values.get("fid")))
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    text = f"{before}{BEGIN}\n\n![Quality against time]({PLOT.as_posix()}#plot)\n\n{table}\n\n{END}{after}"
    write_file(page, text.encode())
    return text


def by_command(entries: list[Entry]) -> Runs:
    """Group runs by their command without the seed, the smallest median distance first."""
    groups: Runs = {}
    for entry in entries:
        command = re.sub(r" seed=\S+", "", entry.command or entry.name)
        groups.setdefault(re.sub(r"^(cgan train|python train\.py) ", "", command), []).append(entry)
    return dict(sorted(groups.items(), key=lambda group: statistics.median(_values(group[1], "fid"))))


def medians(runs: Runs, record: EvaluationRecord) -> str:
    """Lay groups out as columns of a Markdown table: medians, and in brackets the range of several seeds."""
    rows = [["", "Seeds", "Minutes", "Images", *(record.describe(name).title for name in SHOWN)]]
    for command, entries in runs.items():
        minutes = [entry.curve[-1].seconds / 60 for entry in entries if entry.curve and entry.curve[-1].seconds]
        images = [entry.images_seen for entry in entries if entry.images_seen]
        values = [_spread(_values(entries, name), form) for name, form in SHOWN.items()]
        seen = f"{statistics.median(images):,.0f}" if images else "-"
        rows.append([f"`{command}`", str(len(entries)), _spread(minutes, "{:.1f}"), seen, *values])
    real = [_spread(_values([record.real], name), form) for name, form in SHOWN.items()]
    rows.append(["real images", "-", "-", "-", *real])
    return markdown_table(list(zip(*rows, strict=True)))


def learning_curves(curves: dict[str, list[list[CurvePoint]]], real: float | None) -> bytes:
    """Draw Fréchet distance and misread share against minutes, a colour per kind of run, a line per run; as PNG.

    Args:
        curves: The runs' curves by kind of run.
        real: The distance of real images: a dashed line.
    """
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (kind, runs) in enumerate(curves.items()):
        for position, run in enumerate(runs):
            style = {"color": f"C{place % 10}", "label": None if position else kind, "linewidth": 1.2}
            minutes = [(point.seconds or np.nan) / 60 for point in run]
            left.plot(minutes, [point.values.get("fid", np.nan) for point in run], **style)
            right.plot(minutes, [100 - 100 * point.values.get("label_agreement", np.nan) for point in run], **style)
    if real is not None:
        left.axhline(real, color="black", linestyle="--", linewidth=1)
        left.text(0.01, real, "real images", transform=left.get_yaxis_transform(), va="bottom", fontsize=8)
    left.set(title="Fréchet distance", xlabel="minutes", yscale="log")
    right.set(title="Not read as the requested class, percent", xlabel="minutes", yscale="log")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.grid(alpha=0.3, which="both")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return figure_png(figure)


def _values(entries: list[Entry], name: str) -> list[float]:
    return [entry.values[name] for entry in entries if name in entry.values]


def _spread(values: list[float], form: str) -> str:
    if not values:
        return "-"
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


if __name__ == "__main__":
    main(run, "docs/study", "docs/quality.md")
