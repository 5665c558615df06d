"""Output that a training outlives: the reader of a pipe may go first, as ``tee`` does at ctrl-C."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO)
"""What the system says where nobody reads any more: the pipe, the terminal is closed."""


class Lasting:
    """A text stream that goes on to nowhere once its reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop, the text."""
        with self._dropped_when_gone():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write, or drop, what waits."""
        with self._dropped_when_gone():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _dropped_when_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let standard output and error be :class:`Lasting`; one that was closed from the start leads nowhere."""
    former = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = (Lasting(stream or nowhere) for stream in former)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = former
