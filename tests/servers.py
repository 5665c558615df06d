"""Programs that answer over HTTP, started as a user starts them, and the browser that visits them."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

import cgan

PATIENCE = 600
"""Seconds until a test stops waiting for whatever it waits: other processes may use the processor."""
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SOURCES = Path(cgan.__file__).parents[1]
expect.set_options(timeout=PATIENCE * 1000)


class Server(NamedTuple):
    """A program that answers at ``address``; what it prints goes to the file ``output``; ``pid`` is its process."""

    address: str
    output: Path
    pid: int


@contextmanager
def serving(*arguments: str, folder: Path, path: str = "", host: str = "127.0.0.1", **environ: str) -> Iterator[Server]:
    """Run ``python ARGUMENTS`` in ``folder`` from the moment it answers at ``path``; ``{port}`` is a free port."""
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    written = folder / f"server_{port}.txt"
    paths = os.pathsep.join([str(SOURCES), os.environ.get("PYTHONPATH", "")])
    with written.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(argument.format(port=port) for argument in arguments)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(f"http://{host}:{port}", written, process.pid)
    try:
        until(lambda: process.poll() is not None or _answers(f"{server.address}/{path}"), "the server answers")
        assert process.poll() is None, server.output.read_text()
        yield server
    finally:
        process.terminate()
        process.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium; without one the test is skipped."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"],
        )
        yield browser
        browser.close()


def until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"timed out before {what}"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
