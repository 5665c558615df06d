"""The command line: ``cgan COMMAND``, ``python -m cgan COMMAND``, ``train.py`` and the other scripts of a checkout."""

import os
import sys
from collections.abc import Callable

from cgan.cli.errors import one_line_errors

TASKS = ("train", "sample", "evaluate", "export", "features")
COMPLETION = ("-sc", "--shell-completion")


def main() -> None:
    """Run the command that ``sys.argv`` names."""
    with one_line_errors():
        name = sys.argv[1] if len(sys.argv) > 1 else "--help"
        if name in COMPLETION:
            complete()
        elif name in ("--help", "-h"):
            from cgan.cli.help import overview

            print(overview())
        elif name == "--version":
            from cgan import __version__

            print(f"cgan {__version__}")
        elif name in TASKS:
            run_task(name, subcommand=True)
        else:
            other_commands(name)(sys.argv[2:])


def run_task(name: str, subcommand: bool = False) -> None:
    """Run one of :data:`TASKS` on ``sys.argv``, which names it before its arguments if it is a ``subcommand``."""
    if subcommand:
        del sys.argv[1]
    with one_line_errors():
        if {"--help", "-h"} & set(sys.argv):
            from cgan.cli.help import task_help

            print(task_help(name, sys.argv[1:]))
        else:
            from cgan.cli.hydra_app import run

            run(name, prefix=[name] if subcommand else [])


def other_commands(name: str) -> Callable[[list[str]], None]:
    """Return the function of a command that Hydra does not configure."""
    from cgan.cli import commands
    from cgan.cli.overrides import unknown

    if name not in commands.COMMANDS:
        raise unknown("command", name, [*TASKS, *commands.COMMANDS])
    return commands.COMMANDS[name]


def complete() -> None:
    """Answer a shell's request for completion: Hydra's own, for the command that the line names.

    The shell calls ``cgan -sc query=bash``, with the line in ``COMP_LINE``. ``-sc install=bash`` prints the shell code.
    """
    from cgan.cli.commands import COMMANDS

    program, *words = os.environ.get("COMP_LINE", "cgan train ").split(" ")
    if len(words) > 1 and words[0] in TASKS:
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        run_task(words[0])
    elif len(words) < 2:
        print(" ".join(name for name in (*TASKS, *COMMANDS) if name.startswith("".join(words))))
