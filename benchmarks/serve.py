"""How much does drawing over HTTP add to an empty response? `python benchmarks/serve.py`.

Starts ``uvicorn cgan.serving.api:app`` on a free port and sends requests from 1, 16 and 64 clients at once, each with
one kept connection, beside ``/healthz`` of the same server and beside a Python process for each picture.
"""

import asyncio
import statistics
import subprocess
import sys
import time

import httpx

from common import Row, interleave, keep, row, served

CLIENTS = (1, 16, 64)
PATHS = {"empty": "/healthz", "1 picture": "/v1/classes/7", "100 pictures": "/v1/classes/7?n=100"}
PROCESS = "import cgan; cgan.draw(cgan.load_generator('pretrained'), [7])"


def main(rounds: int = 5) -> None:
    """Measure ``rounds`` times, in turns."""
    api = ["-m", "uvicorn", "cgan.serving.api:app", "--port={port}", "--log-level=error"]
    with served(*api, CGAN_TIME_LIMIT="300") as address:
        for path in PATHS.values():  # warm up
            asyncio.run(durations(address, path, 1))
        rows = [entry for clients in CLIENTS for entry in measure(address, clients, rounds)]
        contenders = {
            "process": lambda: subprocess.run([sys.executable, "-c", PROCESS], check=True),
            "request": lambda: asyncio.run(durations(address, PATHS["1 picture"], 1)),
        }
        seconds = interleave(contenders, rounds)
    requests = [spent / count(1) for spent in seconds["request"]]
    rows += [
        row("a Python process for each picture", seconds["process"], "s"),
        row(
            "a process for each picture over a request",
            [process / request for process, request in zip(seconds["process"], requests, strict=True)],
            "x",
        ),
    ]
    keep("serve", rows)


def measure(address: str, clients: int, rounds: int) -> list[Row]:
    """Send requests of each kind in turns: their rate, and their median duration over that of empty ones."""
    rates: dict[str, list[float]] = {name: [] for name in PATHS}
    taken: dict[str, list[float]] = {name: [] for name in PATHS}
    for _ in range(rounds):
        for name, path in PATHS.items():
            start = time.perf_counter()
            spent = asyncio.run(durations(address, path, clients))
            rates[name].append(len(spent) / (time.perf_counter() - start))
            taken[name].append(statistics.median(spent))
    rows = []
    for name in PATHS:
        what = f"{name}, {clients} client{'s' * (clients > 1)}"
        rows += [row(what, rates[name], "requests/s"), row(what, [1000 * spent for spent in taken[name]], "ms")]
        if name != "empty":
            ratios = [spent / empty for spent, empty in zip(taken[name], taken["empty"], strict=True)]
            rows.append(row(f"{what}: duration over that of an empty response", ratios, "x"))
    return rows


def count(clients: int) -> int:
    """Return how many requests each client sends."""
    return max(5, 100 // clients)


async def durations(address: str, path: str, clients: int) -> list[float]:
    """Send requests from many clients at once and return the seconds that each took."""
    seconds: list[float] = []

    async def client() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=300, trust_env=False) as session:
            for _ in range(count(clients)):
                start = time.perf_counter()
                (await session.get(path)).raise_for_status()
                seconds.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds


if __name__ == "__main__":
    main()
