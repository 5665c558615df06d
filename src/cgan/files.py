"""Writing files so that a crash or a full disk never leaves half of one."""

import os
from pathlib import Path

from cgan.errors import CganError


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to the disk and rename it: at no time is there half a file.

    Raises:
        CganError: The file cannot be written; no part of it is left behind.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CganError(
            f"cannot write {path.absolute()}: {error.strerror}; free space or choose another place"
        ) from error
