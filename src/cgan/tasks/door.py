"""What every script does around its task: one clear line for an error, no traceback unless asked for."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from cgan.config import CONF
from cgan.errors import CganError
from cgan.hardware import use_hardware_well


def door(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn ``task(cfg)`` into a script: Hydra reads the command line, an error becomes one line and exit status 1.

    ``HYDRA_FULL_ERROR=1`` shows tracebacks instead.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def one_job(cfg: DictConfig) -> Any:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return task(cfg)  # an error passes to Hydra: the sweep's other jobs run, then the sweep fails
            with one_line_errors():
                return task(cfg)

        run = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(one_job)

        def script() -> None:
            use_hardware_well()
            with one_line_errors():
                if not _wants_traceback():
                    # Hydra then raises its own errors, which it else prints over many lines. The second variable
                    # tells this process's children that it was not the user who asked.
                    os.environ |= {"HYDRA_FULL_ERROR": "1", "CGAN_ONE_LINE_ERRORS": "1"}
                run()

        return script

    return decorate


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print an error as one line and end the process with status 1."""
    try:
        yield
    except KeyboardInterrupt:  # before or after training, which ends in its own way
        print("stopped by ctrl-C", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if _wants_traceback():
            raise
        print(f"error: {' '.join(in_words(error).split())}", file=sys.stderr)
        sys.exit(1)


def in_words(error: BaseException) -> str:
    """Say on one line what went wrong and, where that is known, what to do."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, CganError):
        return str(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        if isinstance(cause, CganError):  # raised by a constructor that a config names
            return str(cause)
        return f"{error} ({cause})" if cause and str(cause) not in str(error) else str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot use {error.filename or 'a file'}: {error.strerror}; free space or choose another place"
    return f"unexpected {type(error).__name__}: {error} (HYDRA_FULL_ERROR=1 shows where)"


def _wants_traceback() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and "CGAN_ONE_LINE_ERRORS" not in os.environ
