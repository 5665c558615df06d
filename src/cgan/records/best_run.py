"""Which run's generator to use when none is named."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cgan.files import read_json
from cgan.records.layout import drawn_from
from cgan.records.run import RunRecord, read_run


class _Finished(NamedTuple):
    folder: Path
    record: RunRecord


def best_run(logs: Path) -> Path | None:
    """Return the folder of the best finished run at any depth under ``logs``; None if there is none.

    The newest finished run decides the data set, the newest measured one of these data the protocol; among the
    finished runs that share both, the one with the lowest Fréchet distance is the best. Where none was measured, it is
    the newest. Debug runs, runs that have not come to their end and runs without a checkpoint do not count.
    """
    runs = [_Finished(folder, record) for folder in run_folders(logs) if (record := _finished(folder))]
    if not runs:
        return None
    runs.sort(key=lambda run: run.record.updated, reverse=True)
    alike = [run for run in runs if _data_of(run.record) == _data_of(runs[0].record)]
    measured = [run for run in alike if run.record.score is not None]
    if not measured:
        return runs[0].folder
    protocol = protocol_of(measured[0].folder)
    measured.sort(key=lambda run: run.record.score or 0.0)
    return next(run.folder for run in measured if protocol_of(run.folder) == protocol)


def _data_of(record: RunRecord) -> tuple[str, ...]:
    """Return the data set, and of pictures of one's own or of the hub which ones."""
    return record.data, *(line for line in record.overrides if line.startswith(("data.root=", "data.name=")))


def run_folders(logs: Path) -> Iterator[Path]:
    """Find the folders with a ``run.json`` at any depth; what lies below such a folder is not searched."""
    for folder, names, files in os.walk(logs):
        if "run.json" in files:
            names.clear()
            yield Path(folder)


def _finished(folder: Path) -> RunRecord | None:
    record = read_run(folder) if drawn_from(folder) else None
    return record if record and record.state == "finished" and not record.debug else None


def protocol_of(folder: Path) -> Any:
    """Return the protocol of a run's evaluations without its seed, in which runs differ; None if there is none."""
    try:
        return {**read_json(folder / "evaluation.json")["protocol"], "seed": None}
    except (OSError, ValueError, LookupError, TypeError):
        return None
