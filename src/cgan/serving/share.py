"""Showing the page to others in the same network, such as a class of pupils with phones."""

import io
import os
import socket

from cgan.errors import CganError

LOCK = "CGAN_LOCK_TRAINING"
"""An environment variable: if set, visitors cannot start, stop or resume trainings."""


def locked() -> bool:
    """Whether visitors may not train."""
    return bool(os.environ.get(LOCK))


def own_address() -> str:
    """Return the address of this computer in its network; nothing is sent to find it.

    Raises:
        CganError: It is in none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: the system only chooses an interface
        except OSError as error:
            raise CganError(f"--share: this computer is in no network ({error.strerror}); connect it") from error
        return str(probe.getsockname()[0])


def invitation(url: str) -> str:
    """Return what to show to visitors: the address as text and as a QR code for a terminal.

    Raises:
        CganError: ``segno`` is not installed.
    """
    try:
        import segno
    except ImportError as error:
        raise CganError("--share needs segno: pip install 'cgan[app]'") from error
    code = io.StringIO()
    segno.make_qr(url, error="l").terminal(code, compact=True)
    return f"Others in this network open {url}; training is locked.\n\n{code.getvalue()}"
