"""``run.json``: what a run folder says of its run; and which process may write into the folder."""

import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Predicate

from cgan.errors import CganError, is_printable
from cgan.files import read_json, write_file
from cgan.metrics.values import FINITE, Count, Text
from cgan.records.layout import checkpoints_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT, VERSION = "cgan-run", 1
STRICT = {**FINITE, "extra": "forbid"}
Line = Annotated[str, Predicate(is_printable)]
"""Of any length: as long as what was typed."""
RECORD, LOCK = "run.json", "run.lock"
_locks: dict[Path, int] = {}  # open files by run folder; the system releases a lock when its process ends


@dataclass(frozen=True)
class RunRecord:
    """One training run; its words can be printed."""

    __pydantic_config__ = STRICT
    state: Literal["running", "finished", "stopped", "failed"]  # `stopped`: by a signal, with a checkpoint
    command: Line
    overrides: list[Line]  # what was chosen, in Hydra's syntax
    data: Text
    network: Text  # the class of the generator
    debug: bool  # started with `debug=` or with a limit on its batches: its model is no model
    pid: Count
    host: Text
    hardware: Text  # what computes, such as `2 CPU cores (AMD EPYC 7763)`; empty until training starts
    started: float  # Unix time, seconds
    updated: float  # of the last change
    epoch: Count = 0  # the current one, from 1; 0 before training starts
    epochs: Count | None = None  # None, as `images_total`, for a run without an end
    images_seen: Count = 0  # real images so far
    images_total: Count | None = None
    seconds_left: float | None = None  # estimate of the time to the end; None while not known
    message: Text = ""  # why the run stopped or failed, in one line
    score: float | None = None  # the best Fréchet distance; None where it is not measured, or not yet
    features: Text = "auto"  # the choice of `features=`
    loggers: dict[Text, Text] = field(default_factory=dict)  # ids at services elsewhere, by class, to continue there


@cache
def _schema() -> "TypeAdapter[RunRecord]":
    from pydantic import TypeAdapter  # a tenth of a second, which not every start needs

    return TypeAdapter(RunRecord)


def write_run(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``, whole or not at all.

    Raises:
        CganError: It cannot be written.
    """
    content = {"format": FORMAT, "version": VERSION, **asdict(record)}
    write_file(folder / RECORD, (json.dumps(content, indent=1) + "\n").encode())


def read_run(folder: Path) -> RunRecord | None:
    """Read ``run.json``; None where there is none of this version, or another program wrote it.

    A run whose process on this computer has ended without a last word (killed, power cut) is returned as ``failed``.
    """
    try:
        content: dict[str, Any] = read_json(folder / RECORD)
        if (content.pop("format"), content.pop("version")) != (FORMAT, VERSION):
            return None
        record = _schema().validate_json(json.dumps(content), strict=True)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if record.state == "running" and record.host == socket.gethostname() and not is_locked(folder / LOCK):
        return replace(record, state="failed", seconds_left=None, message="its process was killed")
    return record


def is_locked(path: Path) -> bool:
    """Whether a process, this one or another, holds a lock on a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def new_folder(requested: Path) -> Path:
    """Make ``requested``, or ``requested_2``, ``requested_3``, ... where that exists; no two processes get the same.

    Raises:
        CganError: It cannot be made.
    """
    folder, number = requested, 1
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = requested.with_name(f"{requested.name}_{number}")
        except OSError as error:
            raise _cannot_write(folder, error) from error
        else:
            return folder


def claim(folder: Path, checkpoint: str | Path | None) -> None:
    """Take a run folder for this process until :func:`release`, or refuse; claiming it again is harmless.

    Raises:
        CganError: Another process uses the folder, it cannot be written, or it holds checkpoints and none of them
            is the ``checkpoint`` from which this one goes on.
    """
    folder = folder.resolve()  # one name for each folder: a process is refused by its own lock under another
    if folder in _locks:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        _lock(handle, folder)
        _refuse_other_run(folder, checkpoint)
    except CganError:
        os.close(handle)
        raise
    _locks[folder] = handle


def release(folder: Path) -> None:
    """Give a run folder back."""
    if (handle := _locks.pop(folder.resolve(), None)) is not None:
        os.close(handle)


def release_all() -> None:
    """Give back every run folder that this process has claimed."""
    for folder in list(_locks):
        release(folder)


def _lock(handle: int, folder: Path) -> None:
    for _ in range(20):  # a reader holds the lock for a moment to see whether it is free
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return None  # a file system without locks
    owner = read_run(folder)
    who = f", process {owner.pid} on {owner.host!r:.80}" if owner and owner.state == "running" else ""
    raise CganError(f"{folder}: another run uses this folder{who}; name another with hydra.run.dir=FOLDER")


def _refuse_other_run(folder: Path, checkpoint: str | Path | None) -> None:
    goes_on_here = checkpoint is not None and folder in Path(checkpoint).resolve().parents
    if goes_on_here or not checkpoints_of(folder):
        return
    record = read_run(folder)
    state = record.state if record and record.state != "running" else "stopped"
    longer = " and a larger trainer.max_epochs or max_images" if state == "finished" else ""
    raise CganError(
        f"{folder}: this folder holds a {state} run; name another with hydra.run.dir=FOLDER, or go on with "
        f"ckpt={folder}{longer}"
    )


def _cannot_write(folder: Path, error: OSError) -> CganError:
    return CganError(f"cannot write {folder}: {error.strerror}; free space or choose another place")
