"""The command line: ``cgan COMMAND``, ``python -m cgan COMMAND``, ``train.py`` and the other scripts of a checkout."""

import io
import os
import re
import sys
from contextlib import redirect_stdout

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
            from cgan.cli.commands import COMMANDS
            from cgan.errors import check_choice

            check_choice("command", name, [*TASKS, *COMMANDS])
            COMMANDS[name](sys.argv[2:])


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


def complete() -> None:
    """Answer a shell's request for completion: Hydra's own, for the command that the line names.

    The shell calls ``cgan -sc query=bash``, with the line in ``COMP_LINE``. ``-sc install=bash`` prints the shell code.
    """
    from cgan.cli.commands import COMMANDS

    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if not program:
        run_task("train")  # the shell code is the same for every command
    elif len(words) > 1 and words[0] in TASKS:
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        with redirect_stdout(io.StringIO()) as found:
            run_task(words[0])
        # Hydra leaves the sign out where a group, such as `model`, has options and groups of its own.
        print(" ".join(word if re.search(r"=|[./]$", word) else f"{word}=" for word in found.getvalue().split()))
    elif len(words) < 2:
        print(" ".join(name for name in (*TASKS, *COMMANDS) if name.startswith("".join(words))))
