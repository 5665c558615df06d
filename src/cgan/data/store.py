"""Decoded pictures kept between runs: one folder per data set and way of reading, mapped into memory.

A folder holds ``about.json`` and the pixels, whose file is named by a checksum of both. It is written beside its place
and renamed, so it is whole or not there. Those used longest ago are removed when all beside each other take too much.
"""

import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cgan.files import cache_folder, changed_at, locked

log = logging.getLogger(__name__)
_ABOUT = "about.json"
_BLOCK = 2**24
MAX_BYTES = 50 * 10**9
"""Of all stores in one folder."""


class Stored(NamedTuple):
    """What a store holds.

    Attributes:
        about: Plain values.
        images: (N, C, H, W) uint8.
    """

    about: dict[str, Any]
    images: Tensor


def in_memory(chunks: Iterable[np.ndarray], about: Callable[[], dict[str, Any]], shape: tuple[int, ...]) -> Stored:
    """Gather pictures in memory.

    Args:
        chunks: Arrays (n, C, H, W) uint8.
        about: Called after the last chunk.
        shape: (N, C, H, W), N at least the number of pictures.
    """
    images, count = torch.empty(shape, dtype=torch.uint8), 0
    for chunk in chunks:
        images[count : count + len(chunk)] = torch.from_numpy(chunk)
        count += len(chunk)
    return Stored(about(), images[:count])


def store_folder(cache: str | None, key: str) -> Path | None:
    """Return the folder of a store; None where nothing is to be kept.

    Args:
        cache: ``auto`` (the user's cache folder), ``none``, or a folder.
        key: Names everything that decides the pixels.
    """
    if cache in (None, "none"):
        return None
    root = cache_folder() / "pictures" if cache == "auto" else Path(cache).expanduser()
    return root / key


def load_stored(folder: Path | None) -> Stored | None:
    """Map the pictures of a store; None where there are none or they are damaged."""
    try:
        return _load(folder) if folder else None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _load(folder: Path) -> Stored | None:
    content = (folder / _ABOUT).read_bytes()
    about = json.loads(content)
    (path,) = folder.glob("*.uint8")
    shape = (about["count"], *about["shape"])
    size = math.prod(shape)
    if path.stat().st_size != size or path.stem != _checksum(content, _blocks(path)):
        return None
    with suppress(OSError):  # a cache of someone else
        os.utime(folder / _ABOUT)
    return Stored(about, torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).view(shape))


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _checksum(about: bytes, blocks: Iterable[bytes]) -> str:
    value = 0
    for block in blocks:
        value = zlib.crc32(block, value)
    return f"{zlib.crc32(about, value):08x}"


def keep(folder: Path, chunks: Iterable[np.ndarray], about: Callable[[], dict[str, Any]]) -> None:
    """Write a store unless another process has just written it.

    Args:
        folder: Its place.
        chunks: Arrays (n, C, H, W) uint8.
        about: Called after the last chunk; returns what is kept beside the pixels, with ``shape`` (C, H, W).

    Raises:
        OSError: The folder cannot be written.
    """
    with locked(folder):
        if load_stored(folder) is not None:
            return
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
        shutil.rmtree(folder, ignore_errors=True)  # damaged
        try:
            part.mkdir()
            _write(part, chunks, about)
            os.rename(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    with suppress(OSError):  # another process removes the same
        _make_room(folder)


def _make_room(newest: Path) -> None:
    """Remove the stores beside the newest that were used longest ago; who has mapped one may go on reading it."""
    stores = sorted(newest.parent.glob(f"{'[0-9a-f]' * 32}/{_ABOUT}"), key=changed_at, reverse=True)
    taken = 0
    for folder in (about.parent for about in stores):
        taken += sum(path.stat().st_size for path in folder.glob("*"))
        if taken > MAX_BYTES and folder != newest:
            shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, chunks: Iterable[np.ndarray], about: Callable[[], dict[str, Any]]) -> None:
    value = count = 0
    with (folder / "part").open("wb") as file:
        for chunk in chunks:
            file.write(chunk.data)
            value = zlib.crc32(chunk.data, value)
            count += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    content = json.dumps(about() | {"count": count}).encode()
    (folder / _ABOUT).write_bytes(content)
    os.rename(folder / "part", folder / f"{zlib.crc32(content, value):08x}.uint8")
