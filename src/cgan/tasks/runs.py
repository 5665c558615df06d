"""The runs in a folder, side by side."""

import math
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from cgan.errors import CganError, printable
from cgan.metrics.values import short
from cgan.records.best_run import best_run, protocol_of, run_folders
from cgan.records.run import RunRecord, read_run

HEADINGS = ("", "run", "data", "network", "state", "images", "distance", "features")


class _Row(NamedTuple):
    folder: Path
    record: RunRecord
    data: str
    features: str


def run(logs: Path) -> str:
    """Lay out all runs at any depth under a folder: those that compare together, the smallest distance first.

    The asterisk marks the run that draws where none is named.

    Raises:
        CganError: There is none.
    """
    found = [_row(folder, record) for folder in run_folders(logs) if (record := read_run(folder))]
    if not found:
        raise CganError(f"{logs}: no runs in it; `cgan train` makes them in logs/train")
    best = best_run(logs)
    found.sort(key=lambda row: (row.data, row.features or "~", _score(row.record), -row.record.updated))
    rows = [["*" if row.folder == best else "", *_columns(row)] for row in found]
    return tabulate(rows, HEADINGS, disable_numparse=True, colalign=[*["left"] * 5, "right", "right", "left"])


def _row(folder: Path, record: RunRecord) -> _Row:
    """Name the data as its evaluations do, which know the folder of pictures of ``data=folder``, else by the choice."""
    protocol = protocol_of(folder) or {}
    data, features = protocol.get("data", record.data), protocol.get("features", "")
    return _Row(folder, record, printable(str(data)), printable(str(features)))


def _score(record: RunRecord) -> float:
    return math.inf if record.score is None else record.score


def _columns(row: _Row) -> list[str]:
    record = row.record
    share = f" {record.images_seen / record.images_total:.0%}" if record.images_total else ""
    state = record.state if record.state == "finished" else f"{record.state}{share}"
    state = f"{state} (debug)" if record.debug else state
    distance = "-" if record.score is None else short(record.score)
    network = record.network.removesuffix("Generator")
    return [printable(str(row.folder)), row.data, network, state, f"{record.images_seen:,}", distance, row.features]
