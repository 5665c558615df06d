"""A folder or a zip of files, listed and read in the same way; a zip is read in place."""

import hashlib
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from cgan.errors import CganError
from cgan.files import cache_folder

MAX_BYTES = 2**28
"""Of one file in a zip, unpacked: more than any picture has that would be read."""
MAX_VISITS = 4
"""How often links lead into the same folder: links between folders could double the files at each level."""


def open_tree(root: Path, key: str = "data.root") -> "FolderTree | ZipTree":
    """Open a folder or a zip.

    Args:
        root: Its path.
        key: The setting that names it.

    Raises:
        CganError: There is none, or it is neither.
    """
    shown = f"{key}={root}"
    if root.is_dir():
        return FolderTree(root, shown)
    if not root.exists():
        raise CganError(f"{shown}: no such folder or zip ({root.absolute()})")
    if not zipfile.is_zipfile(root):
        if root.suffix.lower() == ".zip":
            raise CganError(f"{shown}: a zip that is cut off or damaged; copy or download it again")
        raise CganError(f"{shown}: expected a folder or a .zip of pictures; unpack other archives first")
    return ZipTree(root, shown)


class Tree(Protocol):
    """Files that can be read by name.

    Attributes:
        shown: What errors call all of it, such as ``data.root=PATH``.
    """

    shown: str

    @property
    def names(self) -> list[str]:
        """The files' paths, with ``/``; folders end in ``/``."""

    def fingerprint(self) -> str:
        """Return a hash that changes when the files change."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def path_of(self, name: str) -> str:
        """Return what errors call a file."""


class FolderTree:
    """The files below a folder, through symbolic links as well."""

    def __init__(self, root: Path, shown: str) -> None:
        self.root = root
        self.shown = shown

    @cached_property
    def names(self) -> list[str]:
        """The files' paths below the root, with ``/``; folders end in ``/``."""
        return sorted(self._stats())

    def fingerprint(self) -> str:
        """Return a hash that changes with any file's name, size or time of change."""
        files = [(name, status) for name, status in sorted(self._stats().items()) if not name.endswith("/")]
        return _hash_of([(name, *_state(status)) for name, status in files])

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: As :func:`read_whole`.
        """
        return read_whole(self.root / name)

    def path_of(self, name: str) -> str:
        """Return a file's whole path."""
        return str(self.root.absolute() / name)

    def _stats(self) -> dict[str, os.stat_result]:
        passed_over = (self.root, Path("logs"), cache_folder())
        return dict(_walk(self.root, {os.path.realpath(folder) for folder in passed_over}))


def read_whole(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        OSError: There is none, it is a pipe or a device, which may never end, or has more than 256 MB.
    """
    if path.exists() and not path.is_file():
        raise OSError("a pipe or a device")
    if path.stat().st_size > MAX_BYTES:
        raise OSError(f"more than {MAX_BYTES:,} bytes")
    return path.read_bytes()


def _walk(root: Path, passed_over: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Walk through folders of any depth; a link to a folder above itself, and folders of runs are passed over.

    Raises:
        CganError: Links lead into one folder again and again.
    """
    visits: Counter[str] = Counter()
    ahead = [(str(root), os.path.realpath(root), "", frozenset(passed_over))]
    while ahead:
        folder, whole, prefix, above = ahead.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                try:
                    status, is_folder = entry.stat(), entry.is_dir()
                except OSError:  # a link that leads nowhere
                    status, is_folder = entry.stat(follow_symlinks=False), False
                if not is_folder:
                    yield name, status
                    continue
                real = os.path.realpath(entry.path) if entry.is_symlink() else f"{whole}/{entry.name}"
                if real not in above and not os.path.isdir(f"{real}/.hydra"):
                    yield f"{name}/", status
                    visits[real] += 1
                    if visits[real] > MAX_VISITS:
                        raise CganError(f"{entry.path}: links lead to {real} more than {MAX_VISITS} times; remove some")
                    ahead.append((entry.path, real, f"{name}/", above | {real}))


class ZipTree:
    """The files in a zip.

    Raises:
        CganError: The zip is damaged, encrypted, or holds a path that leads out of it.
    """

    def __init__(self, root: Path, shown: str) -> None:
        self.root = root
        self.shown = shown

    @cached_property
    def names(self) -> list[str]:
        """The files' paths, with ``/``; folders end in ``/``. Symbolic links are left out."""
        return sorted(self._infos)

    def fingerprint(self) -> str:
        """Return a hash that changes with the zip's size or time of change."""
        return _hash_of(_state(self.root.stat()))

    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError, zipfile.BadZipFile, ...: The file is damaged or too large.
        """
        info = self._infos[name]
        if info.file_size > MAX_BYTES:
            raise ValueError(f"it claims {info.file_size} bytes")
        return self._archive.read(info)

    def path_of(self, name: str) -> str:
        """Return the zip's whole path and the file's within it."""
        return str(self.root.absolute() / name)

    @cached_property
    def _archive(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise CganError(f"{self.shown}: a damaged zip ({error}); copy or download it again") from error

    @cached_property
    def _infos(self) -> dict[str, zipfile.ZipInfo]:
        entries = [info for info in self._archive.infolist() if not stat.S_ISLNK(info.external_attr >> 16)]
        infos = {info.filename.replace("\\", "/"): info for info in entries}
        for name, info in infos.items():
            if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:3] == ":/":
                raise CganError(f"{self.shown}: it holds the path {name!r:.200}, which leads out of it")
            if info.flag_bits & 1:
                raise CganError(f"{self.shown}: it is encrypted ({name:.200}); unpack it and name the folder")
        return infos


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hash_of(state: object) -> str:
    return hashlib.sha256(repr(state).encode(errors="surrogateescape")).hexdigest()
