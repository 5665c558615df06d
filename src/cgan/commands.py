"""Commands that are printed for copying: they name what runs this process, and any shell can read them."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(name: str, *arguments: str) -> str:
    """Return a command of ``cgan`` that can be pasted into the shell from which this process was started.

    >>> command("sample", "classes=all", "ckpt=/home/a b/run")  # in a process that ran `.venv/bin/python train.py`
    ".venv/bin/python sample.py classes=all 'ckpt=/home/a b/run'"

    Paths and classes need no quotes for Hydra, see :mod:`cgan.cli.overrides`.
    """
    return shlex.join([*_program(name), *arguments])


def installed(name: str, *arguments: str) -> str:
    """Return a command of a program that was installed with this one, such as ``tensorboard``, for the same shell."""
    return shlex.join([_typed(Path(sys.executable).with_name(name), name), *arguments])


def _program(name: str) -> list[str]:
    started = Path(sys.argv[0])
    if started.name == "cgan":
        return [_typed(started, "cgan"), name]
    script = started.with_name(f"{name}.py")
    if started.suffix == ".py" and (started.parent / "conf").is_dir() and script.is_file():
        return [_typed(Path(sys.executable), "python"), _path(script)]
    return [_typed(Path(sys.executable), "python"), "-m", "cgan", name]


def _typed(program: Path, name: str) -> str:
    """Return ``name`` if a shell finds ``program`` by it, else a path: from the working directory, or from the root."""
    found = shutil.which(name)
    if found and Path(found).absolute().parent == program.absolute().parent and os.path.samefile(found, program):
        return name
    return _path(program)


def _path(program: Path) -> str:
    relative = os.path.relpath(program)
    return str(program.absolute()) if relative.startswith("..") else relative
