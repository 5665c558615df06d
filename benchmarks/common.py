"""What every benchmark shares: contenders timed in turns, rows with their spread, and a description of the hardware."""

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cgan.hardware import available_cores, processor, use_hardware_well

RESULTS = Path(__file__).parents[1] / "docs" / "performance.json"
use_hardware_well()  # as every script of this project does
Contenders = Mapping[str, Callable[[], object]]


class Row(NamedTuple):
    """One measured value.

    Attributes:
        what: What was measured, in words.
        value: The median.
        low: The lower quartile.
        high: The upper quartile.
        unit: ``x`` for ratios, else the unit.
        at_least: The target, where larger is better.
        at_most: The target, where smaller is better.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the median meets the target, or None where there is no target."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value <= self.at_most if self.at_most is not None else None


def interleave(contenders: Contenders, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Time contenders in turns, so that whatever else the machine does hits all of them alike.

    Args:
        contenders: What to call, by name.
        rounds: Calls per contender that count; the order turns by one place each round.
        warm_up: Calls per contender before, that do not count.

    Returns:
        Wall-clock seconds of each call, by name; entry ``k`` of all lists is from the same round.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            contenders[name]()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def row(what: str, values: list[float], unit: str, **target: float) -> Row:
    """Sum values up by their median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return Row(what, middle, low, high, unit, **target)


def speed_ratio(what: str, ours: list[float], theirs: list[float], **target: float) -> Row:
    """Compare two contenders round by round: how many times as fast as ``theirs`` is ``ours``."""
    return row(what, [slow / fast for fast, slow in zip(ours, theirs, strict=True)], "x", **target)


def matrix_product() -> float:
    """Measure the machine's largest rate of arithmetic: float32 products of 2048 x 2048 matrices, in GFLOP/s."""
    a, b = torch.randn(2, 2048, 2048).unbind()
    seconds = interleave({"product": lambda: a @ b}, rounds=10, warm_up=3)["product"]
    return 2 * 2048**3 / min(seconds) / 1e9


def hardware() -> dict[str, Any]:
    """Describe what the numbers were measured on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "matrix_product_gflops": round(matrix_product(), 1),
    }


def keep(section: str, rows: list[Row], **more: Any) -> None:
    """Print rows and put them into ``docs/performance.json`` as one section, with the hardware of this very run."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[section] = {"rows": [entry._asdict() for entry in rows], "hardware": hardware(), **more}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for entry in rows:
        mark = {True: "holds", False: "DOES NOT HOLD", None: ""}[entry.holds]
        print(f"{entry.what:60} {entry.value:10.4g} {entry.unit:9} [{entry.low:.4g}, {entry.high:.4g}] {mark}")


@contextmanager
def served(*arguments: str, **environ: str) -> Iterator[str]:
    """Run ``python ARGUMENTS``, with a free port for ``{port}``, from the moment it answers at the address returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
    process = subprocess.Popen(command, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None and not _answers(address):
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=60).close()
    except urllib.error.HTTPError:  # an answer, too
        return True
    except OSError:
        return False
    return True
