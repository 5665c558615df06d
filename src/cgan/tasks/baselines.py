"""The leaderboard: ``python -m cgan.tasks.baselines [docs/evaluations] [docs/baselines.md]``, from evaluation files."""

import json
import math
import sys
from pathlib import Path
from typing import Any

from cgan.errors import CganError
from cgan.files import write_file
from cgan.reporting.table import markdown_table
from cgan.tasks.door import one_line_errors

PROTOCOL = ("data", "features", "reference", "n", "seed", "weights")
HEAD = """# Baselines

Written by `python -m cgan.tasks.baselines` from the files of `evaluate.py` in `{folder}`; do not edit by hand.
Rows of one table share data and protocol; the last row is the floor: real test images in the role of the samples.
Time to train counts training alone, up to the checkpoint that was judged.
"""
COLUMNS = {
    "fid": "Fréchet distance",
    "label_agreement": "Label agreement",
    "intra_fid_worst": "Worst class",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "variance_ratio": "Variance ratio",
    "memorised": "Memorised",
    "near_duplicates": "Near duplicates",
    "cas": "CAS",
}


def run(folder: Path, out: Path) -> str:
    """Write the leaderboard of all evaluation files in ``folder`` to ``out`` and return its text.

    Raises:
        CganError: There is no evaluation file, or one is damaged, or floors of one protocol differ.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise CganError(f"{folder.absolute()}: expected evaluation.json files of evaluate.py, found none")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for path in paths:
        evaluation = read_evaluation(path)
        groups.setdefault(tuple(evaluation["protocol"][key] for key in PROTOCOL), []).append(evaluation)
    parts = [HEAD.format(folder=folder.as_posix())]
    parts += [_section(group) for _, group in sorted(groups.items(), key=lambda entry: str(entry[0]))]
    text = "\n".join(parts)
    write_file(out, text.encode())
    return text


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read a file of ``evaluate.py``.

    Raises:
        CganError: It is damaged, or something else.
    """
    try:
        evaluation = json.loads(path.read_text())
        judged = [(entry["name"], entry["values"].items()) for entry in evaluation["judged"]]
        complete = bool(judged) and all(key in evaluation["protocol"] for key in PROTOCOL) and evaluation["floor"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CganError(f"{path}: not an evaluation.json of evaluate.py ({error!r:.120})") from error
    if not complete:
        raise CganError(f"{path}: not a complete evaluation.json of evaluate.py; run evaluate.py again")
    return evaluation


def _section(group: list[dict[str, Any]]) -> str:
    protocol, floor = group[0]["protocol"], group[0]["floor"]
    for evaluation in group[1:]:
        _refuse_other_floor(floor, evaluation["floor"], protocol)
    entries = sorted((entry for evaluation in group for entry in evaluation["judged"]), key=_order)
    shown = [tag for start in COLUMNS for tag in floor if _is(tag, start)]
    head = ["", "Network", "Parameters", "Images seen", "Time to train", "Hardware"]
    rows = [[*head, *(COLUMNS[start] for start in COLUMNS for tag in floor if _is(tag, start))]]
    for entry in [*entries, {"name": "floor", "values": floor}]:
        rows.append([*_origin(entry), *(_words(entry["values"].get(tag)) for tag in shown)])
    title = f"## {protocol['data']}, {protocol['features']} features, {protocol['n']:,} samples"
    words = (
        f"Reference: the {protocol['reference']} split; seed {protocol['seed']}, {protocol['weights']} weights. Tags: "
    )
    commands = [f"- {entry['name']}: `{entry['command']}`" for entry in entries if entry.get("command")]
    tags = words + ", ".join(f"`{tag}`" for tag in shown) + "."
    return "\n".join([title, "", tags, "", markdown_table(rows), "", *commands, ""])


def _refuse_other_floor(floor: dict[str, float], other: dict[str, float], protocol: dict[str, Any]) -> None:
    for tag, value in floor.items():
        if tag in other and not math.isclose(value, other[tag], rel_tol=1e-3, abs_tol=1e-4):
            raise CganError(
                f"floors of {protocol['data']} differ ({tag}: {value:.5g} and {other[tag]:.5g}): their files are of "
                "other data or another version; evaluate again"
            )


def value_of(values: dict[str, float], name: str) -> float | None:
    """Return the value called ``name`` under whatever protocol; None where it was not measured."""
    return next((value for tag, value in values.items() if _is(tag, name)), None)


def _is(tag: str, start: str) -> bool:
    """Whether ``tag`` is the value called ``start`` under some protocol, and not a longer name or one class's value."""
    longer = [name for name in (*COLUMNS, "variance_ratio_least", "cas_deviation") if name.startswith(f"{start}_")]
    return tag.startswith(f"{start}_") and "/" not in tag and not any(tag.startswith(f"{name}_") for name in longer)


def _order(entry: dict[str, Any]) -> float:
    distance = value_of(entry["values"], "fid")
    return math.inf if distance is None else distance


def _origin(entry: dict[str, Any]) -> list[str]:
    parameters, images, seconds = (entry.get(key) for key in ("parameters", "images_seen", "seconds"))
    return [
        str(entry["name"]),
        str(entry.get("network", "-")),
        f"{parameters:,}" if parameters else "-",
        f"{images:,}" if images else "-",
        f"{seconds / 60:.1f} min" if seconds else "-",
        str(entry.get("hardware", "-")),
    ]


def _words(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    with one_line_errors():
        given = [Path(argument) for argument in sys.argv[1:]]
        defaults = [Path("docs/evaluations"), Path("docs/baselines.md")]
        folder, out = (given + defaults[len(given) :])[:2]
        run(folder, out)
        print(f"Written: {out}")
