"""Errors on the command line: one line for what a user can mend, a traceback for what only a programmer can."""

import logging
import os
import re
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from types import FrameType

from yaml import MarkedYAMLError

from cgan.errors import CganError
from cgan.files import FULL_DISK

LIBRARIES = ("lightning.", "torch.")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with status 1 after an error: see :func:`error_message`; ``HYDRA_FULL_ERROR=1`` shows all."""
    try:
        yield
    except KeyboardInterrupt:  # before or after training, which handles ctrl-C itself
        print("\nstopped by ctrl-C", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `cgan train --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if wants_traceback():
            raise
        report(error)
        sys.exit(1)


def wants_traceback() -> bool:
    """Whether the user set ``HYDRA_FULL_ERROR=1``; this process sets it too, to see Hydra's errors unprinted."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1" and "CGAN_ONE_LINE_ERRORS" not in os.environ


def report(error: Exception) -> str:
    """Print an error to stderr and to the log of the run; return it as one line."""
    line = error_message(error)
    if line is None:
        origin = _origin(error)
        _show("".join(traceback.format_exception(origin)).rstrip())
        return f"{type(origin).__name__}: {origin}"
    line = " ".join(line.split())
    _show(f"error: {line}")
    return line


def _show(words: str) -> None:
    """Print to stderr, and to the run's own log where there is one by now."""
    print(words, file=sys.stderr)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream:
            record = logging.LogRecord("cgan", logging.ERROR, __file__, 0, words, None, None)
            with suppress(OSError):  # the disk may be full: that may be the error
                handler.stream.write(f"{handler.format(record)}{handler.terminator}")
                handler.flush()


def error_message(error: BaseException) -> str | None:
    """Return what went wrong and what to do, or None for an error that needs a programmer."""
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, CganError):
        return str(error)
    if isinstance(error, InstantiationException):
        return _constructor_message(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__ or error.__context__
        return f"{error} ({cause})" if cause and str(cause) not in str(error) else str(error)
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {error.problem}; expected YAML"
    if isinstance(error, TypeError) and _called_by_hydra(error):  # `_partial_: true`, called with its last arguments
        return _argument_message(error, "")
    if library := _refusing_library(error):
        return _refusal(library, error)
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) and error.strerror:
        return f"no connection: {error.strerror}; check the network and the address"
    if isinstance(error, OSError) and error.strerror:
        place = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename or "a file"
        return f"cannot use {place}: {error.strerror}; {_advice(error)}"
    return None


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it was moved or removed, or never there"
    if error.errno in FULL_DISK:
        return "free space or choose another place"
    return "check the path and your rights to it, or choose another one"


def _constructor_message(error: Exception) -> str | None:
    """Explain why a class that a config names could not be built; None if its own code failed."""
    from omegaconf.errors import OmegaConfBaseException

    cause, origin = error.__cause__, _origin(error)
    key = next(iter(re.findall(r"^full_key: (.+)$", str(error), re.MULTILINE)), "")
    if isinstance(origin, CganError | OmegaConfBaseException) or (isinstance(origin, OSError) and origin.strerror):
        return error_message(origin)
    if str(error).startswith("Error locating target") and (
        isinstance(origin, ModuleNotFoundError) or _called_by_hydra(origin)
    ):
        target = str(error).split("'")[1]
        package = target.partition(".")[0]
        missing = isinstance(origin, ModuleNotFoundError) and origin.name == package
        own = f"; if it is your own, add plugins=[{package}]" if missing else ""
        return f"{key}._target_={target}: cannot import it ({origin}); name it as package.module.Class{own}"
    if isinstance(cause, TypeError) and _called_by_hydra(cause):
        return _argument_message(cause, key)
    if _refusing_library(origin):
        return _refusal(key, origin)
    return str(error) if cause is None else None


def _argument_message(error: TypeError, key: str) -> str:
    """Name the argument that a constructor does not take, or that it lacks."""
    where = f"{key}: " if key else ""
    found = re.search(r"(?P<name>[\w.]+)\(\) got an unexpected keyword argument '(?P<argument>\w+)'", str(error))
    if found is None:
        later = "; what is called later needs `_partial_: true` beside `_target_`" * ("'progress'" in str(error))
        return f"{where}{error}{later}"
    target = found["name"].removesuffix(".__init__")
    if found["argument"] in ("num_classes", "img_shape"):
        return f"{where}{target} takes no argument {found['argument']!r}: add it to the constructor, the data give it"
    return f"{where}{target} takes no argument {found['argument']!r}; leave it out or correct its name"


def _called_by_hydra(error: BaseException) -> bool:
    """Whether the call itself failed, not the code of what was called: the innermost frame is Hydra's own."""
    import hydra

    frames: list[FrameType] = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if frames and frames[-1].f_code.co_name == "insert_env_defaults":  # Lightning's, around the call of Trainer
        frames.pop()
    return bool(frames) and Path(frames[-1].f_code.co_filename).is_relative_to(Path(hydra.__file__).parent)


def _refusing_library(error: BaseException) -> str:
    """Name the module of torch or Lightning whose class, called by Hydra, refused its arguments; empty if none did.

    All code below Hydra's call is the library's: where code of this project or of the user's ran, it may be wrong.
    """
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    called = list(takewhile(lambda module: not module.startswith("hydra."), reversed(modules)))
    refused = 0 < len(called) < len(modules) and all(module.startswith(LIBRARIES) for module in called)
    return called[-1] if refused else ""


def _refusal(where: str, error: BaseException) -> str:
    return f"{where}: {next(iter(str(error).splitlines()), type(error).__name__)}"


def _origin(error: BaseException) -> BaseException:
    """Return the error that Hydra wrapped in an ``InstantiationException``, or the error itself."""
    from hydra.errors import InstantiationException

    while isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    while isinstance(error, ImportError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error
