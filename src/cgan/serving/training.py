"""Start, watch and stop trainings: each is ``cgan train`` in its own process.

The process outlives the page that started it; its state is read from the JSON records in its run folder. From its
start on it holds a lock on ``page.lock`` in that folder: a process number alone may belong to another process by now.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from cgan.checkpoint import find_generator
from cgan.config import CONF, quoted, summary
from cgan.errors import CganError
from cgan.files import changed_at, read_lines
from cgan.records.evaluation import FoundEvaluation, find_evaluation
from cgan.records.layout import BEST, CHECKPOINTS
from cgan.records.run import RunRecord, is_locked, new_folder, read_run

State = Literal["running", "stopping", "finished", "stopped", "failed", "unknown"]
LOCK, STOP, OUTPUT = "page.lock", "page.stop", "page.log"
MAX_EPOCHS, MAX_MINUTES = 1000, 10_000
EPOCHS, BUDGET = "trainer.max_epochs", "budget"


class Choice(NamedTuple):
    """A file of a config group: its first comment, and its keys without a value, such as ``data.root``."""

    sentence: str
    needs: list[str]


@dataclass(frozen=True)
class Watched:
    """The state of a run folder at one moment; ``unknown``: it has no record of its run.

    Attributes:
        message: Why it failed or stopped, in one line.
        run: Its record; None before the process writes it.
        rows: ``metrics.jsonl``.
        grids: Grids of the same latents by epoch.
    """

    folder: Path
    state: State
    message: str
    run: RunRecord | None
    rows: list[dict[str, Any]]
    evaluation: FoundEvaluation | None
    grids: dict[int, Path]
    has_checkpoint: bool

    def latest(self, tag: str) -> float | None:
        """Return the newest value of a tag of ``metrics.jsonl``."""
        return next((row[tag] for row in reversed(self.rows) if tag in row), None)


class Trainings:
    """The trainings in ``logs/train/runs`` under a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "logs" / "train" / "runs"

    @staticmethod
    @cache
    def choices(group: str) -> dict[str, Choice]:
        """Return the choices of a config group by name."""
        found = {}
        for path in sorted((CONF / group).glob("*.yaml")):
            values = yaml.safe_load(path.read_text()) or {}
            missing = [f"{group}.{key}" for key, value in values.items() if value == "???"]
            found[path.stem] = Choice(summary(path), missing)
        return found

    def overrides(
        self,
        experiment: str,
        data: str | None = None,
        epochs: int | None = None,
        minutes: int | None = None,
        needed: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Turn choices into overrides of ``cgan train``; None keeps what the preset says.

        ``needed`` are the values of the keys that the data set needs; see :class:`Choice`.
        """
        data = data or self.data_of(experiment)
        chosen = {"experiment": experiment} | ({"data": data} if data else {})
        for group, name in chosen.items():
            if name not in (known := self.choices(group)):
                raise CganError(f"{group}={name}: no such choice; expected one of {', '.join(known)}")
            for key in known[name].needs:
                if not (needed or {}).get(key):
                    raise CganError(f"{group}={name} needs {key}: enter a value")
        if epochs is not None and not 1 <= epochs <= MAX_EPOCHS:
            raise CganError(f"epochs={epochs}: expected a number from 1 to {MAX_EPOCHS}")
        if epochs and minutes:
            raise CganError(f"{epochs} epochs or {minutes} minutes? Leave one of the two empty")
        values = [f"{key}={quoted(value)}" for key, value in (needed or {}).items()]
        length = [f"{EPOCHS}={epochs}"] if epochs else [f"{BUDGET}={minutes}min"] if minutes else []
        return [*(f"{group}={name}" for group, name in chosen.items()), *values, *length]

    def data_of(self, experiment: str) -> str | None:
        """Return the data set that a preset, or the one that it is made of, names; None if it is for any."""
        if experiment not in self.choices("experiment"):
            return None
        found = experiment if experiment in self.choices("data") else None
        for entry in yaml.safe_load((CONF / "experiment" / f"{experiment}.yaml").read_text()).get("defaults", []):
            own = entry.get("override /data") if isinstance(entry, dict) else None
            found = own or (self.data_of(entry) if isinstance(entry, str) else None) or found
        return found

    def start(self, overrides: Sequence[str], *, beside: bool = False) -> Path:
        """Start ``cgan train OVERRIDES`` and return its run folder; ``beside`` another training, or not at all."""
        folder = self.runs / time.strftime("%Y-%m-%d_%H-%M-%S")
        return self._launch(folder, [*overrides], beside)

    def resume(self, folder: Path) -> Path:
        """Go on with a stopped or failed run in its folder, if no other training runs."""
        return self._launch(folder, [], beside=False)

    def stop(self, folder: Path) -> None:
        """Ask a training to write its checkpoint and end."""
        if not is_locked(folder / LOCK):
            raise CganError(f"{folder.name} does not run any more, or was started in a terminal: stop it there")
        (folder / STOP).touch()
        try:
            os.kill(json.loads((folder / LOCK).read_text()), signal.SIGTERM)
        except (ProcessLookupError, ValueError) as error:  # it ends just now, or has not begun
            raise CganError(f"{folder.name} ends or begins just now: look again") from error

    def all(self) -> list[Path]:
        """Return every run folder, the one that began last first."""
        return sorted((path for path in self.runs.glob("*") if path.is_dir()), key=_began, reverse=True)

    def running(self) -> list[Path]:
        """Return the folders of the trainings that a page started and that still run, the newest first."""
        return [folder for folder in self.all() if is_locked(folder / LOCK)]

    def epoch_seconds(self, overrides: Sequence[str]) -> float | None:
        """Return how long an epoch of such a training takes here, by the newest one of any length; None: none ran."""

        def chosen(all_of: Sequence[str]) -> set[str]:
            return {override for override in all_of if not override.startswith((EPOCHS, BUDGET, "hydra."))}

        for folder in self.all():
            run = read_run(folder)
            if run and run.epochs and run.images_total and chosen(run.overrides) == chosen(overrides):
                for row in reversed(read_lines(folder / "metrics.jsonl")):
                    if speed := row.get("speed/images_per_s"):
                        return run.images_total / run.epochs / speed
        return None

    def watch(self, folder: Path) -> Watched:
        """Read the state of a run folder."""
        run = read_run(folder)
        state, message = state_of(folder, run)
        try:
            checkpoint = find_generator(folder).path
        except CganError:
            checkpoint = None
        samples = sorted((folder / "samples").glob("epoch_*.png"))
        grids = {int(found[1]): path for path in samples if (found := re.fullmatch(r"epoch_(\d{1,9})", path.stem))}
        evaluation = find_evaluation(folder / CHECKPOINTS / BEST, self.root / "logs")
        rows = read_lines(folder / "metrics.jsonl")
        return Watched(folder, state, message, run, rows, evaluation, grids, checkpoint is not None)

    def _launch(self, folder: Path, overrides: list[str], beside: bool) -> Path:
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            with (self.runs.parent / "start.lock").open("w") as gate:  # two pages may start at once
                fcntl.flock(gate, fcntl.LOCK_EX)
                if not beside and (busy := self.running()):
                    raise CganError(f"{busy[0].name} is still training: stop it first, or start beside it")
                folder = folder if folder.exists() and not overrides else new_folder(folder)
                place = quoted(folder.relative_to(self.root))
                self._spawn(folder, [*overrides, f"hydra.run.dir={place}"] if overrides else [f"ckpt={place}"])
                return folder
        except OSError as error:
            raise CganError(f"cannot start a training: {error.strerror}") from error

    def _spawn(self, folder: Path, arguments: list[str]) -> None:
        (folder / STOP).unlink(missing_ok=True)
        with (folder / LOCK).open("w") as lock, (folder / OUTPUT).open("wb") as output:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(
                [sys.executable, "-m", "cgan", "train", *arguments],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],  # the lock now lives as long as the process
            )
            json.dump(process.pid, lock)
        threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie


def _began(folder: Path) -> tuple[int, str]:
    """Return when a run wrote its first file, and its name; one that is resumed begins again."""
    return changed_at(folder / ".hydra") or changed_at(folder), folder.name


def state_of(folder: Path, run: RunRecord | None) -> tuple[State, str]:
    """Return the state of a training of the page, and why it failed or was stopped."""
    if is_locked(folder / LOCK):
        return ("stopping" if (folder / STOP).exists() else "running"), ""
    last = _last_line(folder / OUTPUT)
    if run is not None:
        # An attempt to go on that was refused never came to its record.
        refused = last.startswith("error: ") and changed_at(folder / OUTPUT) > run.updated * 1e9
        return ("failed", last.removeprefix("error: ")) if refused else (run.state, run.message)
    if not (folder / OUTPUT).exists():
        return "unknown", ""
    return "failed", last or "the process ended without a message"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "")
