"""What presets reach over several seeds: ``python -m cgan.tasks.presets [docs/study] [docs/quality.md]``.

Reads the files of ``evaluate.py``, groups their runs by command whatever the seed, and writes a table between two marks
of the page and a plot beside it.
"""

import re
import statistics
import sys
from pathlib import Path
from typing import Any

from cgan.errors import CganError
from cgan.files import write_file
from cgan.reporting.plots import learning_curves
from cgan.reporting.table import markdown_table
from cgan.tasks.baselines import read_evaluation, value_of
from cgan.tasks.door import one_line_errors

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PLOT = Path("images") / "quality.png"
COLUMNS = {
    "fid": ("Fréchet distance", "{:.3f}"),
    "label_agreement": ("Label agreement", "{:.4f}"),
    "worst_class": ("Worst class", "{:.3f}"),
    "precision": ("Precision", "{:.3f}"),
    "recall": ("Recall", "{:.3f}"),
    "coverage": ("Coverage", "{:.3f}"),
    "variance_ratio": ("Variance ratio", "{:.3f}"),
    "cas": ("CAS", "{:.4f}"),
}
Runs = dict[str, list[dict[str, Any]]]
"""Judged runs by what they share: their command without its seed."""


def run(folder: Path, page: Path) -> str:
    """Write table and plot of all evaluation files in ``folder``; return the page's new text.

    Raises:
        CganError: There is no evaluation file, one is damaged, or the page lacks the two marks.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise CganError(f"{folder.absolute()}: expected evaluation.json files of evaluate.py, found none")
    evaluations = [read_evaluation(path) for path in paths]
    text = page.read_text() if page.is_file() else f"{BEGIN}\n{END}\n"
    if BEGIN not in text or END not in text:
        raise CganError(f"{page}: expected the marks {BEGIN} and {END}, between which the table goes")
    runs = by_command([entry for evaluation in evaluations for entry in evaluation["judged"]])
    table = medians(runs, evaluations[0]["floor"])
    (page.parent / PLOT).parent.mkdir(parents=True, exist_ok=True)
    curves = {command: [entry["curve"] for entry in entries if "curve" in entry] for command, entries in runs.items()}
    write_file(page.parent / PLOT, learning_curves(curves, value_of(evaluations[0]["floor"], "fid")))
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    text = f"{before}{BEGIN}\n\n![Quality against time]({PLOT.as_posix()})\n\n{table}\n\n{END}{after}"
    write_file(page, text.encode())
    return text


def by_command(entries: list[dict[str, Any]]) -> Runs:
    """Group judged runs by their command without the seed, the least median distance first."""
    groups: Runs = {}
    for entry in entries:
        command = re.sub(r" seed=\S+", "", str(entry.get("command", entry["name"])))
        groups.setdefault(command.removeprefix("python train.py "), []).append(entry)
    return dict(sorted(groups.items(), key=lambda group: statistics.median(_values(group[1], "fid"))))


def medians(runs: Runs, floor: dict[str, float]) -> str:
    """Lay groups out as a Markdown table: medians, and the range in brackets where there are several seeds."""
    rows = [["", "Seeds", "Minutes", "Images", *(words for words, _ in COLUMNS.values())]]
    for command, entries in runs.items():
        minutes = [entry["curve"][-1]["seconds"] / 60 for entry in entries if entry.get("curve")]
        images = [entry["images_seen"] for entry in entries if "images_seen" in entry]
        rows.append(
            [
                f"`{command}`",
                str(len(entries)),
                _spread(minutes, "{:.1f}"),
                f"{statistics.median(images):,.0f}" if images else "-",
                *(_spread(_values(entries, name), form) for name, (_, form) in COLUMNS.items()),
            ]
        )
    floors = [_spread(_values([{"values": floor}], name), form) for name, (_, form) in COLUMNS.items()]
    return markdown_table([*rows, ["real images of the other split", "-", "-", "-", *floors]])


def _values(entries: list[dict[str, Any]], name: str) -> list[float]:
    if name == "worst_class":
        classes = [
            [value for tag, value in entry["values"].items() if tag.startswith("class_agreement_")] for entry in entries
        ]
        return [min(values) for values in classes if values]
    found = [value_of(entry["values"], name) for entry in entries]
    return [value for value in found if value is not None]


def _spread(values: list[float], form: str) -> str:
    if not values:
        return "-"
    middle = form.format(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form.format(min(values))} to {form.format(max(values))})"


if __name__ == "__main__":
    with one_line_errors():
        given = [Path(argument) for argument in sys.argv[1:]]
        defaults = [Path("docs/study"), Path("docs/quality.md")]
        folder, page = (given + defaults[len(given) :])[:2]
        run(folder, page)
        print(f"Written: {page} and {page.parent / PLOT}")
