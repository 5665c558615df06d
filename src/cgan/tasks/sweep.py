"""Many runs: one failure does not take the others along, and the end says which was best and which failed."""

import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from tabulate import tabulate

from cgan.commands import command
from cgan.errors import CganError
from cgan.files import write_file
from cgan.metrics.values import SCORE, describe, short
from cgan.records.layout import checkpoints_of
from cgan.records.run import read_run

log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One run of a sweep or a study: its folder, what set it apart by key, its best Fréchet distance, why it failed."""

    name: str
    overrides: dict[str, str]
    score: float | None
    error: str | None
    pruned: bool = False


def job(cfg: DictConfig, describe: Callable[[Exception], str]) -> float | None:
    """Train, by itself or as one job of a sweep, and return the best Fréchet distance.

    A job of a sweep that fails leaves ``error.txt`` in its folder and returns NaN, so that the others run; ``describe``
    prints an error and returns it as one line.
    """
    from cgan.tasks.train import run  # Hydra imports this file at every start; torch may wait

    try:
        return run(cfg).score
    except Exception as error:
        if HydraConfig.get().mode != RunMode.MULTIRUN:
            raise
        write_file(Path(HydraConfig.get().runtime.output_dir) / "error.txt", describe(error).encode())
        return math.nan


class SweepReport(Callback):
    """Hydra calls this when all jobs of ``python train.py -m`` are done, whatever launched them."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Rank the jobs and say which failed.

        Raises:
            SystemExit: Some job failed; the others are done. Hydra makes a mere warning of any other exception.
        """
        from cgan.plugins import typed_config_dir  # imports torch, which `--help` does without

        folder = Path(config.hydra.sweep.dir)
        rows = report(folder, read_rows(folder), typed_config_dir())
        if failed := [row for row in rows if row.error]:
            names = "; ".join(f"run {row.name}: {row.error:.300}" for row in failed)
            print(f"error: {len(failed)} of {len(rows)} runs failed: {names}", file=sys.stderr)
            sys.exit(1)


def read_rows(folder: Path) -> list[Row]:
    """Read what the jobs of a sweep left in its folder; a job that left nothing was killed."""
    rows = []
    for stored in folder.glob("**/.hydra/overrides.yaml"):
        place = stored.parents[1]
        overrides = dict(entry.split("=", 1) for entry in _typed(stored) if "=" in entry)
        record, failed = read_run(place), place / "error.txt"
        error = failed.read_text(errors="replace") if failed.exists() else None
        if error is None and (record is None or record.state != "finished"):
            begun = bool(checkpoints_of(place))
            error = f"it was killed; go on with ckpt={place}" if begun else "it was killed before its first checkpoint"
        score = record.score if record and error is None else None
        rows.append(Row(str(place.relative_to(folder)), overrides, score, error))
    return rows


def _typed(stored: Path) -> list[str]:
    """Read the overrides of a job; none where the file is damaged."""
    try:
        return [str(entry) for entry in yaml.safe_load(stored.read_bytes())]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, RecursionError):
        return []


def report(folder: Path, rows: list[Row], flags: Sequence[str] = ()) -> list[Row]:
    """Print a ranked table, draw ``sweep.png``, name the best run's command; return the rows, best first.

    ``flags`` are those of every run, such as ``--config-dir DIR``.
    """
    measured = {row.name: _measured(folder / row.name) for row in rows}
    ranked = sorted(
        rows,
        key=lambda row: (row.error is not None, row.score is None, measured[row.name].protocol, row.score or 0),
    )
    keys = dict.fromkeys(key for row in rows for key in row.overrides)
    varied = [key for key in keys if len({row.overrides.get(key) for row in rows}) > 1]
    scored = [row for row in ranked if row.score is not None]
    several = len({measured[row.name].protocol for row in scored}) > 1
    table = _table(ranked, measured, varied, several)
    log.info("\n%s", table)  # on lines of its own: the columns stand below each other
    write_file(folder / "sweep.txt", (table + "\n").encode())
    if several:
        log.info("No run is the best: their distances are of different data or features and cannot be compared")
    elif scored:
        _draw(folder / "sweep.png", scored, varied)
        best = command("train", *flags, *(f"{key}={value}" for key, value in scored[0].overrides.items()))
        log.info("Best: %s\nPicture: %s", best, folder / "sweep.png")
    return ranked


class _Measured(NamedTuple):
    """How a run was measured, and the score of real images; empty where it was not."""

    protocol: str
    real: str


def _measured(run: Path) -> _Measured:
    from cgan.records.evaluation import FILE, read_evaluation

    try:
        record = read_evaluation(run / FILE)
    except CganError:
        return _Measured("", "-")
    real = record.real.values.get(SCORE)
    return _Measured(record.protocol.told_apart, "-" if real is None else short(real, 4))


def _table(rows: list[Row], measured: dict[str, _Measured], varied: list[str], several: bool) -> str:
    """Lay out the runs with what was varied; where they were measured in ``several`` ways, it says how each was."""
    head = ["run", describe(SCORE).title, "real images", *(["measured in"] if several else []), *varied]
    cells = []
    for row in rows:
        missing = "failed" if row.error else "pruned" if row.pruned else "-"
        score = missing if row.score is None else short(row.score, 4)
        protocol = [measured[row.name].protocol] if several else []
        choices = (row.overrides.get(key, "") for key in varied)
        cells.append([row.name, score, measured[row.name].real, *protocol, *choices])
    return tabulate(cells, head, tablefmt="plain", disable_numparse=True)


def _draw(path: Path, rows: list[Row], varied: list[str]) -> None:
    """Draw the score against each value that was varied; lower is better."""
    from matplotlib.figure import Figure

    from cgan.reporting.plots import write_as_is

    keys = varied or ["run"]
    figure = Figure(figsize=(4 * len(keys), 3.5), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False).flat, keys, strict=True):
        values = [row.overrides.get(key, row.name) for row in rows]
        numbers = [number for value in values if (number := _number(value)) is not None]
        axes.plot(numbers if len(numbers) == len(values) else values, [row.score for row in rows], "o")
        if len(numbers) == len(values) and min(numbers) > 0 and max(numbers) / min(numbers) > 20:
            axes.set_xscale("log")
        axes.set(xlabel=key, ylabel=f"best {describe(SCORE).title}", yscale="log")
        for label in axes.get_xticklabels() if len(numbers) < len(values) else []:
            write_as_is(label)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
