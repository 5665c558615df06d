"""Write docs/performance.md and its plot from docs/performance.json: `python benchmarks/report.py`."""

import json
import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from common import RESULTS, Row

PAGE, PLOT = RESULTS.with_suffix(".md"), RESULTS.with_suffix(".png")
Results = dict[str, dict[str, Any]]
LAYOUTS = {
    "training": r"(?P<column>\w+): (?P<row>.+)",
    "training_in_colour": r"(?P<row>[^:]+): (?P<column>.+)",
    "backbones": r"(?P<row>\w+), (?P<column>[^;]+); weights .+",
    "variants": r"(?P<row>[^:]+): (?P<column>.+)",
    "sampling": r"mlp: (?P<column>draw[^,]*), (?P<row>batch \d+)",
    "quality_cost": r"(?P<column>\w+): (?P<row>.+)",
    "pictures": r"(?P<row>\w+, [^:]+): (?P<column>.+)",
    "growth": r"mlp: (?:(?P<column>time per image), )?(?P<row>\w+ \d+)(?: over \d+)?",
}
"""Sections whose rows are the cells of a table: how a row's words name the line and the column of its cell."""
SECTIONS = {
    "training": (
        "Training",
        "Blocks of training steps at batch 128 on MNIST, in turns, in one process. *Ours* is what `train.py` runs with "
        "its callbacks and loggers. *The best plain loop* trains the same pair by hand, with all that makes it fast: "
        "data in memory, fused Adam, one batch of fakes for both sides. *The tutorial loop* is written as most "
        "tutorials are: a `DataLoader`, default Adam, fresh fakes for each side, `.item()` in every step "
        "(`benchmarks/loops.py`). Ratios are of speed: above 1, the first is faster. The last line: arithmetic per "
        "second over that of a 2048 x 2048 float32 matrix product.",
    ),
    "training_in_colour": (
        "Training in colour",
        "The same on noise in colour, a block for a call of the trainer, of 3 s at most (batch 128, `loss=bce`, "
        "without the penalty of presets, which costs more): our run with its callbacks and loggers, over the "
        "best plain loop by hand. Peak memory is that of a process; importing Lightning alone takes 795 MB of it.",
    ),
    "backbones": (
        "Backbones and sizes",
        "Real images per second of processor time through a whole training step (relativistic loss, R1 + R2) at batch "
        "16, without the optimisers' updates.",
    ),
    "variants": (
        "bfloat16 and the compiler",
        "Whole training steps of the presets' networks in colour (relativistic loss, R1 + R2, so gradients of "
        "gradients) at batch 16, without the optimisers' updates, in turns in one process: `trainer=cpu_bf16` and "
        "`compile=true` over neither. A processor without AVX-512 BF16 or AMX emulates bfloat16.",
    ),
    "sampling": (
        "Sampling",
        "`draw` of the MLP makes latents, runs the generator and rounds to uint8; the forward pass has its latents.",
    ),
    "startup": ("Start-up", "Whole processes, in turns, from the start of Python to its end."),
    "quality_cost": (
        "Quality metrics",
        "By the clock of the run itself (`time/quality_s`, `time/train_s`), over whole epochs of MNIST at defaults.",
    ),
    "quality_in_colour": (
        "Quality metrics in colour",
        "Processor time at defaults with `light` and features of an own classifier: one evaluation of 1,000 noise "
        "images, counted ten times for 10,000 samples, beside training steps at batch 16.",
    ),
    "pictures": (
        "Pictures from files",
        "50,000 JPEGs in folders of classes, of CIFAR-10 and enlarged to 64x64: `python benchmarks/data.py FILE.zip`. "
        "CPU seconds of a process and its workers, each process once, for the machine did other work as well. A start "
        "reaches the first batch of 64; the rate is of the epoch after it. Peak memory is above that after imports, "
        "without workers; what is mapped from the cache counts, and is given back when others need it. *ImageFolder*: "
        "torchvision's, with a `DataLoader`, as in its tutorials.",
    ),
    "memory": (
        "Memory",
        "Largest resident memory of a whole process (`VmHWM`). Needed: `import torch`, MNIST's pixels, weights, "
        "gradients and Adam's state. The imports alone miss the target: Lightning imports torchmetrics, which imports "
        "torchvision and SciPy.",
    ),
    "serve": (
        "Serving",
        "`uvicorn cgan.serving.api:app` with one worker; clients on the same machine send the next request once they "
        "have the last response. Empty: `/healthz`; pictures: PNG, 100 of them in one grid.",
    ),
    "web": (
        "The page without a server",
        "`cgan export format=web` of the bundled generator in headless Chromium, from a static host on the same "
        "machine, with an empty cache.",
    ),
    "growth": (
        "Growth",
        "Blocks of 4,096 images of the MLP run, in turns; 240,000 images are MNIST's 60,000 four times.",
    ),
}


def main() -> None:
    """Write the page and the plot."""
    results: Results = json.loads(RESULTS.read_text())
    PLOT.parent.mkdir(exist_ok=True)
    plot(results)
    PAGE.write_text(page(results))
    print(f"{PAGE}\n{PLOT}")


def page(results: Results) -> str:
    """Return the page as Markdown."""
    parts = [
        "# Performance",
        "**Question.** Is training as fast as a loop that somebody writes by hand, and what do drawing, starting, "
        "measuring and growing cost?",
        "**Protocol.** What is compared runs in turns in one process, or as whole processes; values are medians, with "
        "quartiles in brackets. Targets are what this project set itself. Each section names its hardware and the load "
        "beside it. Written by "
        "`python benchmarks/run.py` from [performance.json](performance.json); one part alone: "
        "`python benchmarks/training.py`, then `python benchmarks/report.py`.",
        conclusion(results),
        targets(results),
        f"![Ratios beside their targets, and time per image over batch, width and data]({PLOT.name}#plot)",
    ]
    for key, (title, words) in SECTIONS.items():
        if key in results:
            rows = rows_of(results[key])
            parts += [f"## {title}", words, hardware_line(results[key]["hardware"]), *tables(rows, LAYOUTS.get(key))]
    return "\n\n".join(part for part in parts if part) + "\n"


def conclusion(results: Results) -> str:
    """Say how many targets hold, and how fast training is beside loops written by hand."""
    holds = [bool(row.holds) for _, row in with_targets(results)]
    words = f"**Conclusion.** {sum(holds)} of {len(holds)} targets hold."
    training = rows_of(results["training"]) if "training" in results else []
    speeds = []
    for other in ("the best plain loop", "the tutorial loop"):
        ratios = [row.value for row in training if row.what.endswith(f": ours over {other}")]
        speeds += [f"{min(ratios):.2f} to {max(ratios):.2f} times that of {other}"] if ratios else []
    words += f" The speed of training on MNIST is {' and '.join(speeds)}." if speeds else ""
    gpu = any(section["hardware"]["gpu"] for section in results.values())
    return words if gpu else f"{words} No part of this page was run on a GPU."


def targets(results: Results) -> str:
    """Lay the rows that have a target out as a Markdown table."""
    lines = ["| | | median (quartiles) | target | |", "| --- | --- | --- | --- | --- |"]
    for title, row in with_targets(results):
        verdict = "holds" if row.holds else "**missed**"
        lines.append(f"| {title} | {thousands(row.what)} | {cell(row, row.unit)} | {target(row)} | {verdict} |")
    return "\n".join(lines)


def target(row: Row) -> str:
    """Write a row's target, without a place to break the line."""
    return f"≥\xa0{row.at_least:g}" if row.at_least is not None else f"≤\xa0{row.at_most:g}"


def thousands(text: str) -> str:
    """Write long numbers in a text with commas."""
    return re.sub(r"\b\d{4,}\b", lambda found: f"{int(found[0]):,}", text)


def with_targets(results: Results) -> list[tuple[str, Row]]:
    """Return all rows that have a target, each with the title of its section."""
    sections = [(title, results[key]) for key, (title, _) in SECTIONS.items() if key in results]
    return [(title, row) for title, section in sections for row in rows_of(section) if row.holds is not None]


def hardware_line(hardware: dict[str, Any]) -> str:
    """Say in one line what a section was measured on."""
    gpu = f", {hardware['gpu']}" if hardware["gpu"] else ""
    threads = f"{hardware['threads']} thread{'s' * (hardware['threads'] != 1)}"
    return (
        f"{hardware['date']}: {hardware['cpu']} ({hardware['instructions']}), {hardware['cores']} cores, "
        f"{threads}{gpu}; matrix product {hardware['matrix_product_gflops']:.0f} GFLOP/s; "
        f"load average {hardware['load']}; torch {hardware['torch']}, Python {hardware['python']}."
    )


def tables(rows: list[Row], layout: str | None) -> list[str]:
    """Lay rows out as Markdown tables: those that the layout takes as cells of one, the others as a list of values.

    Args:
        rows: What was measured.
        layout: A pattern with the groups ``row`` and, unless it is that of the first column, ``column``.
    """
    cells: dict[str, dict[str, Row]] = {}
    others = []
    for row in rows:
        found = re.fullmatch(layout, row.what) if layout else None
        if found:
            cells.setdefault(found["row"], {})[found["column"] or row.unit] = row
        elif not layout or row.holds is None:  # targets have a table of their own
            others.append(row)
    listed = {row.what: {"median (quartiles)": row} for row in others}
    return [table(part) for part in (cells, listed) if part]


def table(cells: dict[str, dict[str, Row]]) -> str:
    """Lay cells out as a Markdown table; a unit that several columns share stands above them."""
    columns = dict.fromkeys(column for line in cells.values() for column in line)
    units = {row.unit for line in cells.values() for row in line.values()}
    shared = units.pop() if len(units) == 1 and len(columns) > 1 else None
    lines = [f"| {shared or ''} | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for name, line in cells.items():
        said = {shared, *columns}  # units that stand above
        texts = [
            cell(line[column], "" if line[column].unit in said else line[column].unit) if column in line else ""
            for column in columns
        ]
        lines.append(f"| {thousands(name)} | {' | '.join(texts)} |")
    return "\n".join(lines)


def cell(row: Row, unit: str) -> str:
    """Write a value with its unit, and its quartiles in brackets."""
    spread = f" ({number(row.low)} to {number(row.high)})" if row.low != row.high else ""
    return f"{number(row.value)} {unit}".strip() + spread


def number(value: float) -> str:
    """Write three digits that count, and none after the point of large values."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plot(results: Results) -> None:
    """Draw ratios with their targets, and time per image over batch, width and data."""
    ratios = [row for _, row in with_targets(results) if row.unit == "x" and "time per image" not in row.what]
    figure = Figure(figsize=(9, 1 + 0.18 * len(ratios)), layout="constrained")  # room for the name of each bar
    widths = [6, 5] if "growth" in results else [1]
    left, *right = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    draw_ratios(left, ratios[::-1])
    for axes in right:
        draw_growth(axes, rows_of(results["growth"]))
    figure.savefig(PLOT, dpi=110)


def draw_ratios(axes: Axes, rows: list[Row]) -> None:
    """Draw one bar per ratio with its quartiles and a mark at its target, which the name says too."""
    spread = [[row.value - row.low for row in rows], [row.high - row.value for row in rows]]
    places, values = range(len(rows)), [row.value for row in rows]  # not by name: a name may come twice
    names = [f"{thousands(row.what)}, {target(row)}" for row in rows]
    axes.barh(places, values, tick_label=names, xerr=spread, color="#9db8d6", ecolor="#333333")
    for place, row in enumerate(rows):
        mark = row.at_least if row.at_least is not None else row.at_most
        if mark is not None:
            axes.plot([mark, mark], [place - 0.45, place + 0.45], color="crimson", linewidth=2)
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set(title="Ratios (red: target)", xscale="log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.tick_params(axis="y", labelsize=8)


def draw_growth(axes: Axes, rows: list[Row]) -> None:
    """Draw time per image along each axis, over its smallest point."""
    for name in ("batch", "width", "data"):
        points = [(int(row.what.split()[-1]), row.value) for row in rows if row.what.startswith(f"mlp: {name} ")]
        if points:
            smallest = points[0][0]
            axes.plot(
                *zip(*((place / smallest, value) for place, value in points), strict=True),
                "o-",
                label=f"{name}, from {smallest:,}",
            )
    axes.set(
        title="mlp: time per image", xlabel="times the smallest", ylabel="microseconds", xscale="log", yscale="log"
    )
    axes.set_yticks([50, 100, 200, 500])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="center right")


def rows_of(section: dict[str, Any]) -> list[Row]:
    """Read a section's rows back."""
    return [Row(**entry) for entry in section["rows"]]


if __name__ == "__main__":
    main()
