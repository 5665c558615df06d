"""Files that a crash or a full disk may interrupt: written whole or not at all, read up to where they are whole."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from cgan.errors import CganError


def cache_folder() -> Path:
    """Return the folder for what can be made again: ``$XDG_CACHE_HOME/cgan``, or ``~/.cache/cgan``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgan"


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` beside ``path``, flush it to the disk and rename it: at no time is there half a file.

    Raises:
        CganError: The file cannot be written; no part of it is left behind and what was at ``path`` is untouched.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _flush_folder(path.parent)
    except OSError as error:
        _remove(part)
        raise CganError(
            f"cannot write {path.absolute()}: {error.strerror}; free space or choose another place"
        ) from error


def _flush_folder(folder: Path) -> None:
    """Bring the renaming itself to the disk, so that it outlives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(part: Path) -> None:
    with suppress(OSError):  # a folder on the way is a file, or the disk is read-only: then there is no part either
        part.unlink(missing_ok=True)


def changed_at(path: Path) -> int:
    """Return when a file, or an exported folder's ``config.json``, was written: Unix time in ns, 0 if it is gone."""
    config = path / "config.json"
    try:
        return (config if config.is_file() else path).stat().st_mtime_ns
    except OSError:
        return 0


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a ``metrics.jsonl``; a last line that a crash cut off is left out."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
