"""``--help``: what a command does, its keys and groups."""

import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from hydra._internal.utils import get_args

from cgan.cli.comments import groups, header, keys, prefix_of
from cgan.commands import command
from cgan.config import CONF, summary

WIDTH = 100
FLAGS = {
    "--cfg job": "print the composed configuration, with every key, instead of running",
    "--info defaults": "print which files the configuration comes from",
    "--config-dir DIR": "also read your own YAMLs in DIR, laid out like the packaged ones: DIR/GROUP/OPTION.yaml",
    "-m": "run several: every key takes values separated by commas (seed=1,2,3 model=mlp,light)",
    "--hydra-help": "all other options: shell completion, launchers, ...",
}


def overview() -> str:
    """Return the help of ``cgan`` itself."""
    from cgan.cli import TASKS
    from cgan.cli.commands import COMMANDS

    rows = {name: header(CONF / f"{name}.yaml")[0] for name in TASKS}
    rows |= {name: (run.__doc__ or "").splitlines()[0] for name, run in COMMANDS.items()}
    rows |= {"--version": "Print the version."}
    return "\n".join(
        [
            "Class-conditional GANs: train, draw, evaluate and use them.",
            f"\nUsage: {command('COMMAND')} ...\n",
            *_rows(rows),
            f'\n{command("COMMAND")} --help says more. Completion in bash: eval "$(cgan -sc install=bash)"',
        ]
    )


def task_help(name: str, arguments: Sequence[str]) -> str:
    """Return the help of a command that Hydra configures, with the options and the ``--config-dir`` that are typed."""
    typed = get_args(arguments)
    folders = [CONF, *([Path(typed.config_dir)] if typed.config_dir else [])]
    chosen = dict(word.split("=", 1) for word in typed.overrides if "=" in word)
    path = CONF / f"{name}.yaml"
    sentences, examples = header(path)
    start = command(name)
    parts = [
        *textwrap.wrap(sentences, WIDTH),
        f"\nUsage: {start} [KEY=VALUE ...] [GROUP=OPTION ...]\n\nExamples:",
        *(f"  {example.replace(f'cgan {name}', start, 1)}" for example in examples),
        "\nKeys, with their defaults:",
        *_rows({f"{key.name}={key.default}": key.meaning for key in keys(path)}),
    ]
    for group, default in groups(path).items():
        parts += _group_help(group, default, chosen, folders)
    return "\n".join([*parts, "\nOptions:", *_rows(FLAGS)])


def _group_help(group: str, default: str, typed: dict[str, str], folders: Sequence[Path]) -> list[str]:
    """Describe the options of a group and the keys of the chosen one, then the groups within that."""
    chosen = typed.get(group, default)
    options = {path.stem: path for folder in folders for path in sorted((folder / group).glob("*.yaml"))}
    rows = {name + (" *" if name == chosen else ""): summary(path) for name, path in options.items()}
    lines = []
    if chosen in options:
        own = keys(options[chosen], prefix_of(group, options[chosen]))
        rows |= {f"{key.name}={key.default}": key.meaning for key in own if key.meaning}
        for inner, option in groups(options[chosen]).items():
            lines += _group_help(f"{group}/{inner}", option, typed, folders)
    return [f"\n{group}={chosen}", *_rows(rows), *lines] if options else []


def _rows(rows: dict[str, str]) -> list[str]:
    """Lay out names and texts in two columns; a long name has a line of its own."""
    width = min(max(map(len, rows), default=0), 26)
    lines = []
    for name, text in rows.items():
        body = textwrap.wrap(text, WIDTH - width - 4) or [""]
        if len(name) > width:
            lines.append(f"  {name}")
            lines += [f"  {'':{width}}  {line}" for line in body if line]
        else:
            lines += [f"  {label:{width}}  {line}".rstrip() for label, line in zip_longest([name], body, fillvalue="")]
    return lines
