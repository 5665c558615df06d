"""What presets reach over several seeds: ``python tools/studies.py [PAGE ...]``, by default every page with such marks.

Between the marks ``<!-- measured: NAME -->`` and ``<!-- measured: end -->`` of a page go a plot and a table of the
evaluation records in ``study/NAME`` beside the page, whose runs are grouped by command whatever the seed.
"""

import math
import re
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, StrMethodFormatter

from baselines import read_all
from cgan.errors import CganError
from cgan.files import write_file
from cgan.records.evaluation import CurvePoint, Entry, EvaluationRecord
from cgan.reporting.plots import figure_png
from cgan.reporting.table import markdown_table

MARKS = re.compile(r"(<!-- measured: ([\w-]+) -->\n).*?(<!-- measured: end -->)", re.DOTALL)
SHOWN = {
    "fid": "{:.3f}",
    "label_agreement": "{:.4f}",
    "label_agreement_worst": "{:.3f}",
    "modes": "{:.0f}",
    "modes_kl": "{:.4f}",
    "digit_agreement": "{:.4f}",
    "digit_agreement_worst": "{:.3f}",
    "stack_agreement": "{:.4f}",
    "intra_fid_mean": "{:.3f}",
    "precision": "{:.3f}",
    "recall": "{:.3f}",
    "coverage": "{:.3f}",
    "variance_ratio": "{:.3f}",
    "patch_fid": "{:.3f}",
    "thumbnail_fid": "{:.3f}",
    "spectrum_2": "{:.2f}",
    "spectrum_4": "{:.2f}",
    "memorised": "{:.3f}",
    "near_duplicates": "{:.3f}",
    "cas": "{:.4f}",
}
"""Values of the table, each with the way to write it; one that no record has is left out."""
PANELS = {
    "fid": ("Fréchet distance", False),
    "label_agreement": ("Not read as the requested class, percent", True),
    "modes_kl": ("Divergence of the modes, nats", False),
    "digit_agreement": ("Digits not read as requested, percent", True),
}
"""Values of the plot, where a run has them: title, and whether what is missing from 1 is shown."""
WIDE = 30
"""Axes whose top is more than so many times the bottom are labelled at powers of ten alone."""
Runs = dict[str, list[Entry]]
"""Runs by what tells them apart: their command without its seed, and without the words that all share."""


def run(page: Path) -> str:
    """Write plots and tables between the marks of a page; return its new text.

    Raises:
        CganError: The page has no marks, or a folder that they name has no record, or a damaged one.
    """
    text = page.read_text()
    if not MARKS.search(text):
        raise CganError(f"{page}: expected the marks <!-- measured: NAME --> and <!-- measured: end -->")
    plots: dict[Path, bytes] = {}

    def measured(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        records = read_all(page.parent / "study" / name)
        entries = [entry for record in records for entry in record.entries]
        if not all("fid" in entry.values and entry.curve for entry in entries):
            raise CganError(f"{page.parent / 'study' / name}: expected a Fréchet distance and a curve in every record")
        refuse_unequal(records, page.parent / "study" / name)
        fullest = max(records, key=lambda record: len(record.real.values))  # some runs were measured in more ways
        runs = by_command(entries)
        curves = {command: [entry.curve for entry in entries if entry.curve] for command, entries in runs.items()}
        plot = Path("images") / f"study_{name}.png"
        plots[page.parent / plot] = learning_curves(curves, fullest.real.values)
        return f"{begin}\n![Quality against time]({plot.as_posix()}#plot)\n\n{medians(runs, fullest)}\n\n{end}"

    text = MARKS.sub(measured, text)
    for path, content in plots.items():
        write_file(path, content)
    write_file(page, text.encode())
    return text


def refuse_unequal(records: Sequence[EvaluationRecord], folder: Path) -> None:
    """Raise a CganError unless all were measured in one way, beside the same real images."""
    first = records[0]
    for record in records[1:]:
        if record.protocol != first.protocol:
            raise CganError(f"{folder}: expected one protocol, found {first.protocol} and {record.protocol}")
        fids = first.real.values["fid"], record.real.values["fid"]
        if not math.isclose(*fids, rel_tol=1e-6):
            raise CganError(f"{folder}: expected the same real images, found Fréchet distances {fids[0]} and {fids[1]}")


def by_command(entries: list[Entry]) -> Runs:
    """Group runs by their command without the seed, the smallest median distance first."""
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        _, _, *words = shlex.split(entry.command or "") or ("", "", entry.name)  # after `cgan train`
        groups.setdefault(tuple(word for word in words if not word.startswith("seed=")), []).append(entry)
    shared = set.intersection(*map(set, groups)) if len(groups) > 1 else set()
    ranked = sorted(groups.items(), key=lambda group: statistics.median(_values(group[1], "fid")))
    return {
        " ".join(word for word in words if word not in shared) or "nothing more": entries for words, entries in ranked
    }


def medians(runs: Runs, record: EvaluationRecord) -> str:
    """Lay groups out as columns of a Markdown table: medians, and in brackets the range of several seeds."""
    shown = {name: form for name, form in SHOWN.items() if any(_values(entries, name) for entries in runs.values())}
    rows = [["", "Seeds", "Minutes", "Images", *(record.describe(name).title for name in shown)]]
    for command, entries in runs.items():
        minutes = [entry.curve[-1].seconds / 60 for entry in entries if entry.curve and entry.curve[-1].seconds]
        images = [entry.images_seen for entry in entries if entry.images_seen]
        values = [_spread(_values(entries, name), form) for name, form in shown.items()]
        seen = f"{statistics.median(images):,.0f}" if images else "-"
        title = command if command == "nothing more" else f"`{command}`"
        rows.append([title, str(len(entries)), _spread(minutes, "{:.1f}"), seen, *values])
    real = [_spread(_values([record.real], name), form) for name, form in shown.items()]
    rows.append(["real images", "-", "-", "-", *real])
    return markdown_table(list(zip(*rows, strict=True)))


def learning_curves(curves: dict[str, list[list[CurvePoint]]], real: Mapping[str, float]) -> bytes:
    """Draw values against minutes, a panel per value, a colour per kind of run, a line per run; as PNG.

    Args:
        curves: The runs' curves by kind of run.
        real: The values of real images by name: dashed lines.
    """
    points = [point for runs in curves.values() for run in runs for point in run]
    shown = [name for name in PANELS if any(name in point.values for point in points)]
    figure = Figure(figsize=(max(4.6 * len(shown), 6), 4.2), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, name in zip(panels, shown, strict=True):
        for place, (kind, runs) in enumerate(curves.items()):
            for position, run in enumerate(runs):
                label = None if position else fill(kind, 40 * len(shown))
                minutes = [(point.seconds or np.nan) / 60 for point in run]
                heights = [_height(name, point.values) for point in run]
                axes.plot(minutes, heights, color=f"C{place % 10}", label=label, linewidth=1.2)
        if (level := _height(name, real)) > 0:  # none on a logarithmic axis
            axes.axhline(level, color="black", linestyle="--", linewidth=1)
            axes.text(0.01, level, "real images", transform=axes.get_yaxis_transform(), va="bottom", fontsize=8)
        axes.set(title=PANELS[name][0], xlabel="minutes", yscale="log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        bottom, top = axes.get_ylim()
        axes.yaxis.set_minor_formatter(FuncFormatter(_minor_label) if top < WIDE * bottom else NullFormatter())
        axes.grid(alpha=0.3, which="both")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=9)
    return figure_png(figure)


def _minor_label(value: float, position: int | None = None) -> str:
    """Write a number between powers of ten, some of them: all would touch one another."""
    return f"{value:g}" if f"{value:e}"[0] in "235" else ""


def _height(name: str, values: Mapping[str, float]) -> float:
    """Return what a panel shows of a value, NaN where it is missing."""
    value, missing_share = values.get(name, np.nan), PANELS[name][1]
    return 100 - 100 * value if missing_share else value


def _values(entries: list[Entry], name: str) -> list[float]:
    return [entry.values[name] for entry in entries if name in entry.values]


def _spread(values: list[float], form: str) -> str:
    if not values:
        return "-"
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


def main(pages: list[str]) -> None:
    """Write every page that is named, or all that have marks."""
    found = [Path(page) for page in pages] or [
        page for page in Path("docs").glob("*.md") if MARKS.search(page.read_text())
    ]
    try:
        for page in found:
            run(page)
            print(f"Written: {page}")
    except CganError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
