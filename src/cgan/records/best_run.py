"""Which run's generator to use when none is named."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cgan.files import read_json
from cgan.records.run import RunRecord, read_run


class _Finished(NamedTuple):
    folder: Path
    record: RunRecord


def best_run(logs: Path) -> Path | None:
    """Return the folder of the best finished run at any depth under ``logs``; None if there is none.

    The newest finished run decides the data set and the protocol; among the finished runs that share both, the one
    with the lowest Fréchet distance is the best. If the newest was not measured, it is taken itself. Debug runs, runs
    that have not come to their end and runs without a checkpoint do not count.
    """
    runs = [_Finished(folder, record) for folder in _run_folders(logs) if (record := _finished(folder))]
    if not runs:
        return None
    newest = max(runs, key=lambda run: run.record.updated)
    if newest.record.score is None:
        return newest.folder
    compared = newest.record.data, _protocol(newest.folder)
    measured = [run for run in runs if run.record.score is not None and run.record.data == compared[0]]
    measured.sort(key=lambda run: (run.record.score or 0.0, -run.record.updated))
    return next(run.folder for run in measured if (run.record.data, _protocol(run.folder)) == compared)


def _run_folders(logs: Path) -> Iterator[Path]:
    """Find the folders with a ``run.json``; what lies below such a folder is not searched."""
    for folder, names, files in os.walk(logs):
        if "run.json" in files:
            names.clear()
            yield Path(folder)


def _finished(folder: Path) -> RunRecord | None:
    checkpoints = (folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    record = read_run(folder) if any(path.is_file() for path in checkpoints) else None
    return record if record and record.state == "finished" and not record.debug else None


def _protocol(folder: Path) -> Any:
    """Return the protocol of a run's evaluations without its seed, in which runs differ; None if there is none."""
    try:
        return {**read_json(folder / "evaluation.json")["protocol"], "seed": None}
    except (OSError, ValueError, LookupError, TypeError):
        return None
