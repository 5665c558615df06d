"""Every run gets a folder of its own, before Hydra writes the first file into it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from cgan.cli.errors import one_line_errors
from cgan.cluster import is_first_process, started_again
from cgan.config import quoted
from cgan.errors import CganError
from cgan.files import write_file
from cgan.records.layout import CHECKPOINTS, checkpoints_of
from cgan.records.run import LOCK, RECORD, RunRecord, claim, new_folder, read_run, release_all, write_run


class _Before(NamedTuple):
    """A run folder with checkpoints before a job goes on in it."""

    choices: dict[Path, bytes]
    record: RunRecord | None
    checkpoints: dict[Path, int]  # with the times at which they were written


_resumed: dict[Path, _Before] = {}
_made: set[Path] = set()


@contextmanager
def folders_kept_clean() -> Iterator[None]:
    """Leave no trace of a job that fails before it has any result: no new folder, no changed choices of a resumed run.

    Hydra makes the folder and stores what was typed before a job begins; a word that is refused would be read again
    by every later job. A finished run stays one. Whatever ends the job, its folder is free for others.
    """
    try:
        yield
    except BaseException:
        for folder, before in _resumed.items():
            if _checkpoints(folder) == before.checkpoints:
                for path, content in before.choices.items():
                    write_file(path, content)
                if before.record and before.record.state == "finished":
                    write_run(folder, before.record)
        for folder in filter(_unused, _made):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        _resumed.clear()
        _made.clear()
        release_all()


def _unused(folder: Path) -> bool:
    """Whether a folder holds nothing but what every job has before its work begins."""
    return all(path.name in (".hydra", LOCK, RECORD) or path.suffix == ".log" for path in folder.glob("*"))


def _checkpoints(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in checkpoints_of(folder)}


class RunFolder(Callback):
    """Hydra calls this before it makes a run's folder, whose name the clock gives or the user.

    Two runs that start within a second get different folders; a folder that holds another run is refused if it is
    ``owned``, as by training, or holds the ``result`` of this command; a folder of samples may be written again.
    """

    def __init__(self, owned: bool = False, result: str | None = None) -> None:
        self.owned, self.result = owned, result

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder, or claim the one that was typed.

        Raises:
            SystemExit: It is refused; of any other exception Hydra would make a warning.
        """
        with one_line_errors():
            if not (typed := _typed(config, "hydra.run.dir")):
                with read_write(config), open_dict(config):
                    config.hydra.run.dir = str(new_folder(Path(config.hydra.run.dir)))
            folder = Path(config.hydra.run.dir)
            if not (typed and folder.exists()):
                _made.add(folder.absolute())
            if self.owned and is_first_process():
                claim(folder, folder / CHECKPOINTS if started_again() else config.ckpt)
                if checkpoints := _checkpoints(folder):
                    choices = {path: path.read_bytes() for path in folder.glob(".hydra/*.yaml")}
                    _resumed[folder] = _Before(choices, read_run(folder), checkpoints)
            elif self.result:
                claim(folder, None)
                if (folder / self.result).exists():
                    raise CganError(f"{folder}: it holds {self.result}; name another with hydra.run.dir=FOLDER")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the sweep's folder, or refuse one that holds a sweep."""
        with one_line_errors():
            folder = Path(config.hydra.sweep.dir)
            if not _typed(config, "hydra.sweep.dir"):
                with read_write(config), open_dict(config):
                    config.hydra.sweep.dir = str(new_folder(folder))
                    config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(config.hydra.sweep.dir)}")
            elif next(folder.glob("*/run.json"), None):
                raise CganError(f"{folder}: this folder holds a sweep; name another with hydra.sweep.dir=FOLDER")


def _typed(config: DictConfig, key: str) -> bool:
    return any(override.partition("=")[0].lstrip("+") == key for override in config.hydra.overrides.hydra)
