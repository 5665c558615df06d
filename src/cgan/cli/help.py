"""``--help``: what a command does, its keys and groups, read from the comments of the configurations."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hydra._internal.utils import get_args

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


class Key(NamedTuple):
    """A key of a configuration: its dotted name, its default as it is written, and its meaning."""

    name: str
    default: str
    meaning: str


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


def prefix_of(group: str, path: Path) -> str:
    """Return what stands before the keys of an option; nothing where it is a preset of all keys."""
    return "" if path.read_text().startswith("# @package _global_") else f"{group}.".replace("/", ".")


def header(path: Path) -> tuple[str, list[str]]:
    """Return the comment that opens a YAML file, as one text, and the commands in it, apart."""
    sentences, examples = [], []
    for line in path.read_text().splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#"):
            break
        if text.startswith("cgan "):
            examples.append(text)
        elif not text.startswith("@package"):
            sentences.append(text)
    return " ".join(sentences), examples


def groups(path: Path) -> dict[str, str]:
    """Return the groups of a configuration with their default options; overrides of others are left out."""
    entries = (yaml.safe_load(path.read_text()) or {}).get("defaults", [])
    named = {group: option for entry in entries if isinstance(entry, dict) for group, option in entry.items()}
    return {group: _default(option) for group, option in named.items() if not group.startswith("override ")}


def _default(option: Any) -> str:
    return "null" if option is None else ",".join(option) if isinstance(option, list) else str(option)


def keys(path: Path, prefix: str = "") -> list[Key]:
    """Return the keys of a YAML file and of its bases with their comments; ``defaults`` and ``hydra`` are left out."""
    text = path.read_text()
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        return []
    own = list(_keys(root, text.splitlines(), prefix))
    names = {key.name for key in own}
    return own + [key for base in _bases(path) for key in keys(base, prefix) if key.name not in names]


def _bases(path: Path) -> list[Path]:
    """Return the files of the same group that a YAML file starts from."""
    entries = yaml.safe_load(path.read_text()).get("defaults", [])
    names = [entry.removesuffix("@_here_") for entry in entries if isinstance(entry, str) and entry != "_self_"]
    files = (path.parent / f"{name}.yaml" for name in names)
    return [file for file in files if file.exists()]  # a base of one's own YAML may be a packaged one


def _keys(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Key]:
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if key in ("defaults", "hydra") or name.value.startswith("_"):
            continue
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            yield from _keys(value, lines, f"{key}.")
            continue
        line = lines[name.start_mark.line]
        end = value.end_mark.column if value.end_mark.line == name.start_mark.line else len(line)
        default = re.sub(r"\$\{oc\.env:\w+,(.*?)\}", r"\1", line[value.start_mark.column : end].strip())
        yield Key(key, default, line[end:].strip().removeprefix("#").strip())


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
