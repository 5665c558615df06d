"""What was measured of a generator, wherever that lies: in an evaluation, in its export or in its run's own log."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from cgan.checkpoint import find_generator, read_description
from cgan.errors import CganError
from cgan.files import read_lines

Values = dict[str, float]


class Measured(NamedTuple):
    """Values by tag, such as ``fid_digits_10k``, beside the same values of real test images.

    Attributes:
        values: Of the generator; empty when nothing was measured.
        floor: Of real test images under the same protocol.
        source: How they were measured, in words.
    """

    values: Values
    floor: Values
    source: str


NOTHING = Measured({}, {}, "not measured")


def measured(path: Path, logs: Path = Path("logs")) -> Measured:
    """Look up what is known of a generator: its newest evaluation, else what its export or its run's log says.

    Args:
        path: A ``.ckpt`` file or an exported folder.
        logs: Where evaluations lie, in ``evaluate/runs``.
    """
    evaluations = sorted(logs.glob("evaluate/runs/*/evaluation.json"), key=_changed, reverse=True)
    for evaluation in evaluations:
        if found := _from_evaluation(evaluation, path):
            return found
    return _from_export(path) if path.is_dir() else _from_run(path)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0  # gone since


def _from_evaluation(evaluation: Path, path: Path) -> Measured | None:
    try:
        content = json.loads(evaluation.read_text())
        if evaluation.stat().st_mtime < (path / "config.json" if path.is_dir() else path).stat().st_mtime:
            return None  # the generator was written again since
        for entry in content["judged"]:
            protocol = content["protocol"]
            averaged = path.is_dir() or protocol["weights"] == "ema"  # an exported folder holds one set of weights
            if averaged and find_generator(entry["source"]).path.resolve() == path.resolve():
                words = (
                    f"evaluate.py, n={protocol['n']}, seed={protocol['seed']}, reference: {protocol['reference']} split"
                )
                return Measured(numbers(entry["values"]), numbers(content["floor"]), words)
    except (OSError, ValueError, KeyError, TypeError, CganError):
        return None  # not an evaluation, or of something that has gone
    return None


def _from_export(folder: Path) -> Measured:
    try:
        described = json.loads((folder / "config.json").read_text())
        stored = described["measured"]
        return Measured(numbers(stored["values"]), numbers(stored["floor"]), str(stored["source"])[:200])
    except (OSError, ValueError, KeyError, TypeError):
        return NOTHING


def _from_run(path: Path) -> Measured:
    """Take the epoch that the checkpoint holds: ``best.ckpt`` the one with the least Fréchet distance."""
    rows = [numbers(row) for row in read_lines(path.parent.parent / "metrics.jsonl")]
    rows = [row for row in rows if any(tag.startswith("quality/") for tag in row)]
    if rows and path.name == "best.ckpt":
        row = min(rows, key=_distance)
    elif rows:
        seen = read_description(path)["images_seen"]
        row = next((row for row in rows if row["images_seen"] == seen), {})
    else:
        row = {}

    def part(prefix: str) -> Values:
        return {tag.removeprefix(prefix): value for tag, value in row.items() if tag.startswith(prefix)}

    return Measured(part("quality/"), part("floor/"), "the training run's own quality callback") if row else NOTHING


def _distance(row: Values) -> float:
    return next((value for tag, value in row.items() if tag.startswith("quality/fid")), math.inf)


def numbers(values: Any) -> Values:
    """Keep the numbers of a table; values per class, whose tags have a slash at the end, are left to evaluations."""
    entries = values.items() if isinstance(values, dict) else []
    return {
        str(tag): float(value)
        for tag, value in entries
        if type(value) in (int, float) and not str(tag).rpartition("/")[2].isdecimal()
    }
