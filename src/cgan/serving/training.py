"""Start, watch and stop trainings: each is ``train.py`` in its own process.

The process outlives the page that started it, and its state is read from its run folder. While it runs it holds a
lock on ``page.lock`` in that folder: a process number alone may belong to another process by now.
"""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from cgan.errors import CganError
from cgan.files import read_lines

State = Literal["running", "stopping", "finished", "stopped", "failed", "elsewhere"]
LOCK, STOP, OUTPUT = "page.lock", "page.stop", "page.log"
MAX_EPOCHS = 1000
LOSSES: dict[str, list[str]] = {
    "relativistic": [
        "penalty=r1r2",
        "penalty.gamma=0.3",
        "optimizer=adam_no_momentum",
        "optimizer.lr=2e-3",
        "schedule=burn_in_cosine",
    ],
    "hinge": ["model.discriminator.norm=spectral"],
    "wgan": ["penalty=wgan_gp", "gan.d_steps=5", "optimizer=adam_no_momentum"],
    "lsgan": [],
    "bce": [],
}
"""Each loss with the choices that it needs to work well."""
DIGITS = ("mnist5k", "mnist")
"""The data sets whose samples the digit classifier can evaluate."""


@dataclass(frozen=True)
class Watched:
    """The state of a run folder at one moment.

    Attributes:
        folder: The run folder.
        state: ``elsewhere`` is a run without an end that no page started: it may still run in a terminal.
        command: The command line to copy; empty where no page started it.
        message: The last line that the process printed.
        done: Share of the run that is done, 0 to 1, once known.
        time_left: As the progress bar shows it, for example ``"01:30"``; empty while not known.
        rows: ``metrics.jsonl``.
        grid: The newest grid of the fixed latents.
        has_checkpoint: Whether there is something to draw with.
    """

    folder: Path
    state: State
    command: str
    message: str
    done: float | None
    time_left: str
    rows: list[dict[str, Any]]
    grid: Path | None
    has_checkpoint: bool

    def latest(self, prefix: str) -> dict[str, float]:
        """Return the newest value of every tag that starts with ``prefix``."""
        return {tag: value for row in self.rows for tag, value in row.items() if tag.startswith(prefix)}


class Trainings:
    """The trainings of one checkout.

    Args:
        root: The folder with ``train.py`` and ``conf/``; runs go to ``logs/train/runs`` in it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "logs" / "train" / "runs"

    def choices(self, group: str) -> dict[str, str]:
        """Return the names of a config group, each with the sentence that heads its file.

        Data sets that need a folder of the user's own are left out.
        """
        texts = {path.stem: path.read_text() for path in sorted((self.root / "conf" / group).glob("*.yaml"))}
        return {
            name: text.splitlines()[0].lstrip("# ") if text.startswith("#") else ""
            for name, text in texts.items()
            if "???" not in text
        }

    def overrides(self, *, model: str, loss: str, data: str, epochs: int) -> list[str]:
        """Turn choices into the overrides of ``train.py``, with those that the loss needs.

        Raises:
            CganError: A choice is not in the listing.
        """
        for group, choice in (("model", model), ("loss", loss), ("data", data)):
            known = self.choices(group)
            if choice not in known:
                raise CganError(f"{group}={choice}: no such choice; expected one of {', '.join(known)}")
        if not 1 <= epochs <= MAX_EPOCHS:
            raise CganError(f"epochs={epochs}: expected a number from 1 to {MAX_EPOCHS}")
        needed = list(LOSSES.get(loss, []))
        if any(entry.startswith("penalty=") for entry in needed) and self._has_dropout(model):
            needed.append("model.discriminator.dropout=0")  # a gradient penalty needs an output per image
        if data not in DIGITS:
            needed.append("quality=none")
        return [f"model={model}", f"loss={loss}", f"data={data}", *needed, f"trainer.max_epochs={epochs}"]

    def start(self, overrides: list[str], *, beside: bool = False) -> Path:
        """Start ``python train.py OVERRIDES`` and return its run folder; the process does not end with the caller.

        Args:
            overrides: See :meth:`overrides`.
            beside: Start although another training runs.

        Raises:
            CganError: Another training runs, there is no ``train.py``, or the folder cannot be written.
        """
        if not (self.root / "train.py").is_file():
            raise CganError("no train.py beside app.py: run the page from a checkout of the project")
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            with (self.runs.parent / "start.lock").open("w") as gate:  # two pages may start at once
                fcntl.flock(gate, fcntl.LOCK_EX)
                if not beside and (busy := self.running()):
                    raise CganError(f"{busy[0].name} is still training: stop it first, or start beside it")
                return self._launch(overrides)
        except OSError as error:
            raise CganError(f"cannot start a training: {error.strerror}") from error

    def stop(self, folder: Path) -> None:
        """Ask a training to write its checkpoint and end.

        Raises:
            CganError: It does not run.
        """
        if not _locked(folder / LOCK):
            raise CganError(f"{folder.name} does not run any more")
        (folder / STOP).touch()
        os.kill(_record(folder)["pid"], signal.SIGTERM)

    def all(self) -> list[Path]:
        """Return every run folder, the newest first."""
        return sorted((path for path in self.runs.glob("*") if path.is_dir()), reverse=True)

    def running(self) -> list[Path]:
        """Return the folders of the trainings that a page started and that still run, the newest first."""
        return [folder for folder in self.all() if _locked(folder / LOCK)]

    def watch(self, folder: Path) -> Watched:
        """Read the state of a run folder."""
        output = _tail(folder / OUTPUT)
        grids = sorted((folder / "samples").glob("epoch_*.png"))
        bar = re.findall(r"(\d+)%\|.*?<([\d:]+)[,\]]", output)
        state = _state(folder)
        return Watched(
            folder=folder,
            state=state,
            command=shlex.join(["python", "train.py", *_record(folder)["overrides"]]) if _record(folder) else "",
            message=_message(output, state),
            done=int(bar[-1][0]) / 100 if bar else None,
            time_left=bar[-1][1] if bar and state == "running" else "",
            rows=read_lines(folder / "metrics.jsonl"),
            grid=grids[-1] if grids else None,
            has_checkpoint=any((folder / "checkpoints").glob("*.ckpt")),
        )

    def _has_dropout(self, model: str) -> bool:
        described = yaml.safe_load((self.root / "conf" / "model" / f"{model}.yaml").read_text())
        return "dropout" in described.get("discriminator", {})  # variants as light_wide name no discriminator

    def _launch(self, overrides: list[str]) -> Path:
        folder = self._new_folder()
        command = [sys.executable, "train.py", *overrides, f"hydra.run.dir={folder.relative_to(self.root)}"]
        with (folder / LOCK).open("w") as lock, (folder / OUTPUT).open("wb") as output:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = subprocess.Popen(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],  # the lock now lives as long as the process
            )
            json.dump({"pid": process.pid, "overrides": overrides}, lock)
        threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie
        return folder

    def _new_folder(self) -> Path:
        while True:
            folder = self.runs / time.strftime("%Y-%m-%d_%H-%M-%S")
            try:
                folder.mkdir()
            except FileExistsError:
                time.sleep(0.2)
            else:
                return folder


def _locked(path: Path) -> bool:
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _record(folder: Path) -> dict[str, Any]:
    """Return what :meth:`Trainings.start` wrote, or nothing where no page started the run."""
    try:
        return json.loads((folder / LOCK).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def _state(folder: Path) -> State:
    stopped = (folder / STOP).exists()
    if _locked(folder / LOCK):
        return "stopping" if stopped else "running"
    if "\nDraw:" in _tail(folder / "train.log"):  # the last message of train.py
        return "finished"
    if stopped:
        return "stopped"
    return "failed" if _record(folder) else "elsewhere"


def _tail(path: Path, size: int = 4096) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - size, 0))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _message(output: str, state: State) -> str:
    """Return the error message if there is one, else the last line."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", output) if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if state == "failed" and errors:
        return errors[-1]
    return lines[-1] if lines else ""
