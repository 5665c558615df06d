"""Files that a crash or a full disk may interrupt: written whole or not at all, read up to where they are whole."""

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from cgan.errors import CganError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What the system says where no more can be written."""


def cache_folder() -> Path:
    """Return the folder for what can be made again: ``$XDG_CACHE_HOME/cgan``, or ``~/.cache/cgan``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cgan"


@contextmanager
def downloading_into(folder: Path) -> Iterator[None]:
    """Let one process at a time look for files in a folder and download what is missing; a failure leaves no folders.

    The lock lies in the cache: the folder may be read-only, and holds nothing but data.
    """
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    with locked(cache_folder() / "downloads" / place), no_empty_folders(folder):
        yield


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove what a failing block leaves of new and empty folders: ``folder``, those above it, and new ones inside."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    before = _two_levels(folder)
    try:
        yield
    except BaseException:
        inside = _two_levels(folder) - before
        made = {*absent, *inside, *(path for new in inside for path in new.rglob("*"))}
        for path in sorted(made, key=lambda path: len(path.parts), reverse=True):
            with suppress(OSError):  # a file, or a folder with files
                path.rmdir()
        raise


def _two_levels(folder: Path) -> set[Path]:
    """Return what is in a folder, and in the folders in it: deeper there may be a hundred thousand pictures."""
    return {*folder.glob("*"), *folder.glob("*/*")}


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write ``content`` beside ``path``, flush it to the disk and rename it: at no time is there half a file.

    Raises:
        CganError: The file cannot be written; no part of it is left behind and what was at ``path`` is untouched.
    """
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, files: Mapping[str, bytes | memoryview]) -> None:
    """Write files that belong together, of which the last describes the others.

    All are written beside their places before the first is renamed. The last of several is missing meanwhile: at no
    time does it stand beside files that it does not describe.

    Raises:
        CganError: A file cannot be written; no part of it is left behind and, unless a renaming itself failed, what
            was in ``folder`` is untouched.
    """
    paths = [folder / name for name in files]
    path = paths[0]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_parts(folder)
        for path, content in zip(paths, files.values(), strict=True):
            _write_part(path, content)
        if paths[1:]:
            paths[-1].unlink(missing_ok=True)
            _flush_folder(folder)  # a power cut must not bring it back beside the others
        for path in paths:
            os.replace(part_of(path), path)
        _flush_folder(folder)
    except OSError as error:
        for written in paths:
            _remove(part_of(written))
        raise CganError(
            f"cannot write {path.absolute()}: {error.strerror}; free space or choose another place"
        ) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make other processes that are about to write ``path`` wait; without a place to write, nobody waits."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def part_of(path: Path) -> Path:
    """Return what a file is called while this process writes it."""
    return path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.part")


def _write_part(path: Path, content: bytes | memoryview) -> None:
    with part_of(path).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _clear_parts(folder: Path) -> None:
    """Remove what processes of this computer that were killed left half-written in a folder."""
    for part in folder.glob(f"*.{socket.gethostname()}.*.part"):
        try:
            os.kill(int(part.suffixes[-2][1:]), 0)
        except ProcessLookupError:
            part.unlink(missing_ok=True)
        except (OSError, ValueError, OverflowError):  # another user's
            continue


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


def read_json(path: Path, limit: int = 2**25) -> Any:
    """Read a JSON file that may be untrusted.

    Raises:
        OSError, ValueError: There is none, it has more than ``limit`` bytes, or is no JSON.
    """
    try:
        return json.loads(read_text(path, limit))
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def read_text(path: Path, limit: int) -> str:
    """Read a text file that may be untrusted.

    Raises:
        OSError, ValueError: There is none, it has more than ``limit`` bytes, or is no text.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content.decode()


def read_lines(path: Path, limit: int | None = 2**25) -> list[dict[str, Any]]:
    """Read a ``metrics.jsonl``, of a longer one its last ``limit`` bytes; damaged lines and a cut one are left out.

    Without a limit all is read: a run that goes on keeps its own file whole.
    """
    rows = []
    for line in _end_of(path, limit).splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and all(map(_is_number, row.values())) and type(row.get("images_seen")) is int:
            rows.append(row)
    return rows


def _end_of(path: Path, limit: int | None) -> bytes:
    with path.open("rb") as file:
        if limit is not None:
            file.seek(max(0, path.stat().st_size - limit))
        return file.read(limit)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)
