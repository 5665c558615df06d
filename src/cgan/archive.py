"""Checkpoint files: written with a checksum, checked before they are opened.

``torch.save`` writes a zip of uncompressed records, one of which is a pickle. Ours end in a zip comment with the
SHA-256 of everything before it: any tool still reads the file, and the comment survives copying. Torch itself checks
neither a checksum nor the size of a decompressed record.
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
MAX_PICKLE = 16 * 2**20
"""Bytes; a checkpoint of this project needs some ten thousand."""
MAX_SHARED = 20
"""References to tuples: parameter groups share their betas; twenty nest to 2**20 entries, hashed in milliseconds."""
MARK = b"sha256:"
COMMENT = len(MARK) + 64
"""Bytes of the comment; two more before it hold its length."""


ANOTHER = "name another with ckpt=PATH"
"""What to do about a file that cannot be read, on the command line."""


def to_bytes(values: Any) -> memoryview:
    """Serialise tensors and plain values as a ``.ckpt`` with its checksum; memory holds the bytes once.

    Raises:
        CganError: A value is of a kind that :func:`read_archive` would refuse.
    """
    buffer = io.BytesIO()
    torch.save(values, buffer)
    try:
        with zipfile.ZipFile(buffer) as archive:
            _refuse_code(archive)
    except ValueError as error:
        raise CganError(
            f"this checkpoint could not be read back: {error}; let each state_dict (callbacks, optimizers) hold "
            "tensors, numbers, words, lists and dicts alone"
        ) from error
    end = buffer.seek(-2, io.SEEK_END)  # a zip ends in the length of its comment, 0 as torch writes it
    with buffer.getbuffer() as content:
        checksum = hashlib.sha256(content[:end]).hexdigest()
    buffer.write(struct.pack("<H", COMMENT) + MARK + checksum.encode())
    return buffer.getbuffer()


def read_archive(path: Path, map_location: Any = "cpu") -> Any:
    """Read the tensors and plain values of a ``.ckpt`` after :func:`check_archive`; no code in it is run."""
    check_archive(path)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # an untrusted file can fail in any way
        raise unreadable("checkpoint", path, error) from error


def check_archive(path: Path) -> None:
    """Check a ``.ckpt`` before any of it is used.

    The whole file is compared with its checksum; a file without one (written by another program) record by record.

    Raises:
        CganError: The file is missing, cut off or damaged, or holds what no checkpoint of this project holds.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_zip_bomb(archive, len(content))
            if archive.comment.startswith(MARK):
                if hashlib.sha256(content[: -COMMENT - 2]).hexdigest().encode() != archive.comment[len(MARK) :]:
                    raise ValueError("its checksum is wrong")
            elif not content.endswith(b"\0\0"):
                raise ValueError("its end is missing")
            elif (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of its record {damaged!r:.60} is wrong")
            _refuse_code(archive)
    except Exception as error:  # an untrusted file can fail in any way
        raise unreadable("checkpoint", path, error) from error


def unreadable(what: str, path: Path, error: Exception) -> CganError:
    """Return the error for a file that is not a readable ``what``, with the reason that ``error`` gives."""
    if isinstance(error, FileNotFoundError):
        return CganError(f"{error.filename or path}: no such file; {ANOTHER}")
    reason = " ".join(str(error).split()) or type(error).__name__
    return CganError(
        f"{path}: not a readable {what}: cut off, damaged or not written by this version of cgan ({reason:.160}); "
        f"{ANOTHER}"
    )


def _refuse_zip_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse compressed records, and overlapping ones, whose sizes add up to more than the file's."""
    records = archive.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise ValueError("it holds compressed records")
    if sum(record.file_size for record in records) > size:
        raise ValueError("its records claim more bytes than it has")
    if len({record.filename.casefold() for record in records}) != len(records):
        raise ValueError("it holds two records of one name")  # torch takes upper and lower case for the same
    if records and min(record.header_offset for record in records) != 0:
        raise ValueError("something stands before its first record")  # torch would read other records than are checked


def _refuse_code(archive: zipfile.ZipFile) -> None:
    """Refuse a pickle that names more than tensors need, or that refers to its tuples repeatedly.

    ``weights_only`` allows names that fill the memory (``bytearray``); tuples of tuples of the same ones hash for ages.
    """
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1 or archive.getinfo(names[0]).file_size > MAX_PICKLE:
        raise ValueError(f"it holds no pickle of at most {MAX_PICKLE} bytes")
    tuples: set[str] = set()
    shared, previous = 0, ""
    for code, argument, _ in pickletools.genops(archive.read(names[0])):
        if code.name in ("GLOBAL", "INST", "STACK_GLOBAL") and argument not in PLAIN:
            raise ValueError(f"it names {reprlib.repr(argument)}, which no checkpoint needs")
        if "PUT" in code.name and "TUPLE" in previous:
            tuples.add(str(argument))
        shared += "GET" in code.name and str(argument) in tuples
        if code.name in ("DUP", "MEMOIZE") or shared > MAX_SHARED:
            raise ValueError("it refers to its tuples repeatedly")
        previous = code.name
