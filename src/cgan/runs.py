"""Training and evaluation from Python, with the configurations, folders and files of the command line.

>>> from cgan import train
>>> run = train("quickstart", "trainer.max_epochs=3")  # doctest: +SKIP
>>> run.values["fid"], run.folder  # doctest: +SKIP
>>> run.grid()  # doctest: +SKIP
"""

import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import ConfigCompositionException, OverrideParseException
from omegaconf import DictConfig

from cgan.cli.errors import error_message
from cgan.cli.folders import folders_kept_clean
from cgan.cli.overrides import check_additions, completed, explained
from cgan.cli.streams import lasting_output
from cgan.config import initialized, quoted, search_path
from cgan.errors import CganError
from cgan.hardware import use_hardware_well

if TYPE_CHECKING:
    from cgan.tasks.evaluate import Evaluation
    from cgan.tasks.train import Run


def train(*arguments: str, config_dirs: Sequence[str | Path] = (), folder: str | Path | None = None) -> "Run":
    """Train, as ``python train.py`` does.

    Args:
        arguments: Overrides in Hydra's syntax, such as ``"data=mnist5k"`` or ``"trainer.max_epochs=3"``; a first one
            without ``=`` names an experiment. ``"ckpt=FOLDER"`` goes on with a run.
        config_dirs: Folders with configurations of your own.
        folder: The run folder; None takes a new one in ``logs/train/runs``.

    Raises:
        CganError: An argument, the data or the checkpoint does not fit; the message says what to do.
    """
    return _run("train", _with_key("experiment", arguments), config_dirs, folder)


def evaluate(
    *arguments: "str | Path | Run", config_dirs: Sequence[str | Path] = (), folder: str | Path | None = None
) -> "Evaluation":
    """Evaluate generators and images, as ``python evaluate.py`` does.

    Args:
        arguments: Overrides in Hydra's syntax, such as ``"n=1000"``; a first one without ``=`` says what to evaluate:
            a run, a run folder, a ``.ckpt``, an exported folder or ``pretrained``.
        config_dirs: Folders with configurations of your own.
        folder: Where tables and plots go; None takes a new folder in ``logs/evaluate/runs``.

    Raises:
        CganError: An argument does not fit, or something named is missing or damaged; the message says what to do.
    """
    texts = [str(getattr(entry, "folder", entry)) for entry in arguments]
    return _run("evaluate", _with_key("ckpt", texts), config_dirs, folder)


def _with_key(key: str, arguments: Sequence[str]) -> list[str]:
    """Write a first argument without a key as an override of ``key``."""
    if arguments and "=" not in arguments[0] and not arguments[0].startswith("~"):
        return [f"{key}={quoted(arguments[0])}", *arguments[1:]]
    return list(arguments)


@contextmanager
def _errors_for_users() -> Iterator[None]:
    """Raise what a user can mend, also of Hydra and of the disk, as a CganError; an error of a program stays."""
    try:
        yield
    except SystemExit as end:  # Hydra's callbacks can refuse a run in this way only
        if isinstance(end.__context__, CganError):
            raise end.__context__ from None
        raise
    except Exception as error:
        message = error_message(error)
        if message is None or isinstance(error, CganError):
            raise
        raise CganError(message) from error


@_errors_for_users()
def _run(name: str, arguments: list[str], config_dirs: Sequence[str | Path], folder: str | Path | None) -> Any:
    """Run a task as a job of Hydra, which makes the run folder and writes the configuration into it."""
    overrides = completed(name, arguments)
    own = [f"hydra.run.dir={quoted(Path(folder).expanduser())}"] if folder is not None else []
    searched = [Path(entry).expanduser() for entry in config_dirs]

    def job(cfg: DictConfig) -> Any:
        check_additions(cfg)
        return import_module(f"cgan.tasks.{name}").run(cfg)  # Lightning takes seconds to import

    use_hardware_well()
    try:
        with lasting_output(), folders_kept_clean(), _logging_restored(), initialized(name) as hydra:
            return hydra.hydra.run(name, job, [*overrides, *own, *search_path(searched)]).return_value  # type: ignore[union-attr]
    except (ConfigCompositionException, OverrideParseException) as error:
        first = str(searched[0].absolute()) if searched else None
        raise explained(error, name, Namespace(overrides=overrides, config_dir=first, config_name=None)) from error


@contextmanager
def _logging_restored() -> Iterator[None]:
    """Give the root logger back as it was: Hydra lets it write to the terminal and into the run folder."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
