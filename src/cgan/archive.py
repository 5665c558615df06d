"""Checkpoint files: written with a checksum, looked at before they are opened.

``torch.save`` writes a zip of stored (never packed) records, of which one is a pickle. Ours end in a zip comment with
the SHA-256 of all that comes before it: any tool still reads the file, and it survives copying. Torch itself checks
neither a checksum nor what a packed record unfolds to.
"""

import hashlib
import io
import pickletools
import reprlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from cgan.errors import CganError

STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
PLAIN = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *(f"torch {name}Storage" for name in STORAGES)}
"""The only names that a checkpoint's pickle may hold."""
LARGEST_PICKLE = 16 * 2**20
"""Bytes; a checkpoint of this project needs some ten thousand."""
MOST_SHARED = 8
"""References to tuples: two optimisers that share their betas need one; eight make nothing large."""
MARK = b"sha256:"
COMMENT = len(MARK) + 64
"""Bytes of the comment; two more before it hold its length."""


def packed(values: Any) -> memoryview:
    """Turn tensors and plain values into the bytes of a ``.ckpt``, checksum included; they lie in memory once."""
    buffer = io.BytesIO()
    torch.save(values, buffer)
    end = buffer.seek(-2, io.SEEK_END)  # a zip ends in the length of its comment, 0 as torch writes it
    with buffer.getbuffer() as content:
        checksum = hashlib.sha256(content[:end]).hexdigest()
    buffer.write(struct.pack("<H", COMMENT) + MARK + checksum.encode())
    return buffer.getbuffer()


def read_archive(path: Path, map_location: Any = "cpu") -> Any:
    """Read the tensors and plain values of a ``.ckpt``; nothing in it is run.

    Raises:
        CganError: As :func:`check_archive`.
    """
    check_archive(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # a stranger's file can fail in any way
        raise _unreadable(path, error) from error


def check_archive(path: Path) -> None:
    """Look at a ``.ckpt`` before anything in it is used.

    The whole file is compared with its checksum; one without (another program wrote it) record by record.

    Raises:
        CganError: The file is missing, cut off or damaged, or holds what no checkpoint of this project holds.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_unfolding(archive, len(content))
            if archive.comment.startswith(MARK):
                if hashlib.sha256(content[: -COMMENT - 2]).hexdigest().encode() != archive.comment[len(MARK) :]:
                    raise ValueError("its checksum is wrong")
            elif not content.endswith(b"\0\0"):
                raise ValueError("its end is missing")
            elif (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of its record {damaged!r:.60} is wrong")
            _refuse_code(archive)
    except FileNotFoundError as error:
        raise CganError(f"{path}: no such file; name another with ckpt=PATH") from error
    except Exception as error:  # a stranger's file can fail in any way
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CganError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return CganError(
        f"{path}: not a readable checkpoint: cut off, damaged or not written by cgan ({reason:.160}); "
        "name another with ckpt=PATH"
    )


def _refuse_unfolding(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse zip bombs: packed records, and records that overlap and so add up to more than the file."""
    records = archive.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise ValueError("it holds packed records")
    if sum(record.file_size for record in records) > size:
        raise ValueError("its records claim more bytes than it has")
    if len({record.filename for record in records}) != len(records):
        raise ValueError("it holds one record twice")


def _refuse_code(archive: zipfile.ZipFile) -> None:
    """Refuse a pickle that names more than tensors need, or that refers to its tuples again and again.

    ``weights_only`` allows names that can fill the memory (``bytearray``), and tuples of tuples of the same tuples
    take for ever to hash.
    """
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1 or archive.getinfo(names[0]).file_size > LARGEST_PICKLE:
        raise ValueError("it holds no pickle of a sensible size")
    tuples: set[str] = set()
    shared, previous = 0, ""
    for code, argument, _ in pickletools.genops(archive.read(names[0])):
        if code.name in ("GLOBAL", "INST", "STACK_GLOBAL") and argument not in PLAIN:
            raise ValueError(f"it names {reprlib.repr(argument)}, which no checkpoint needs")
        if "PUT" in code.name and "TUPLE" in previous:
            tuples.add(str(argument))
        shared += "GET" in code.name and str(argument) in tuples
        if code.name in ("DUP", "MEMOIZE") or shared > MOST_SHARED:
            raise ValueError("it refers to its tuples again and again")
        previous = code.name
