"""Shared by all tests: real configurations composed for a temporary run folder."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig
from playwright.sync_api import Browser
from servers import chromium

from cgan.config import compose

# Tests run side by side, and so do the programs they start: with a thread per core each slows the others tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What an earlier run has left in the user's cache must change no test; xdist's workers share that of their parent.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="cgan-tests-", ignore_cleanup_errors=True)
    os.environ["XDG_CACHE_HOME"] = _cache.name

Compose = Callable[..., DictConfig]

# Real digits and real training, small enough for a test: 400 of the bundled MNIST digits.
_TINY = [
    "data=mnist5k",
    "data.source.test_per_class=460",
    "data.batch_size=32",
    "data.steps_per_batch=2",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
]
TINY = [*_TINY, "quality.n=100"]
TINY_UNMEASURED = [*_TINY, "quality=none"]
BARE = [*TINY_UNMEASURED, "~callbacks.curves"]  # to draw them takes longer than to train


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Let tests that share a fixture of their module run in one worker: it is built once, not in each worker."""
    for item in items:
        known = item._fixtureinfo.name2fixturedefs
        shared = any(known[name][-1].scope == "module" for name in item.fixturenames if name in known)
        if shared and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """Compose a configuration of `conf/` as Hydra would, with its run folder at `tmp_path`."""

    def compose_with(name: str, *overrides: str, folder: Path = tmp_path) -> DictConfig:
        return compose(name, overrides, folder)

    return compose_with


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests of pages."""
    with chromium() as browser:
        yield browser


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors are faster on one thread, and tests run side by side."""
    torch.set_num_threads(1)
