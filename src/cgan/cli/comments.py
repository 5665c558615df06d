"""What configurations say of themselves: keys, groups and comments, read from the YAML files as they are written."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Key(NamedTuple):
    """A key of a configuration: its dotted name, its default as it is written, and its meaning."""

    name: str
    default: str
    meaning: str


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
