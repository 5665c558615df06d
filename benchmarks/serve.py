"""Latency of the API beside an empty endpoint of the same server: ``python benchmarks/serve.py``.

Starts ``uvicorn cgan.serving.api:app`` on a free port and sends requests from 1, 16 and 64 clients at once, each with
one kept connection. Absolute numbers depend on the hardware and its load; the ratio to ``/healthz``,
measured in turn with it, is the cost of drawing.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np

CLIENTS = (1, 16, 64)
PATHS = {"empty": "/healthz", "1 picture": "/v1/classes/7", "100 pictures": "/v1/classes/7?n=100"}


@contextmanager
def server() -> Iterator[str]:
    """Start the API and wait until it responds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "cgan.serving.api:app", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, env={**os.environ, "CGAN_TIME_LIMIT": "300"})
    address = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            try:
                httpx.get(f"{address}/healthz")
                break
            except httpx.TransportError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


async def measure(address: str, path: str, clients: int, seconds: float) -> np.ndarray:
    """Send requests for ``seconds`` and return the duration of each, in seconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=300, trust_env=False) as session:
            while (start := time.perf_counter()) < end:
                response = await session.get(path)
                response.raise_for_status()
                times.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    return np.array(times)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="per measurement and round")
    parser.add_argument("--rounds", type=int, default=3, help="of all endpoints in turn")
    arguments = parser.parse_args()
    print("| Clients | Response | Requests per second | p50 ms | p99 ms | p50 beside empty |")
    print("| ---: | --- | ---: | ---: | ---: | ---: |")
    with server() as address:
        for path in PATHS.values():  # warm up
            asyncio.run(measure(address, path, 1, 0.5))
        for clients in CLIENTS:
            times: dict[str, list[np.ndarray]] = {name: [] for name in PATHS}
            for _ in range(arguments.rounds):
                for name, path in PATHS.items():
                    times[name].append(asyncio.run(measure(address, path, clients, arguments.seconds)))
            rows = {name: np.concatenate(parts) * 1000 for name, parts in times.items()}
            for name, row in rows.items():
                rate = clients * 1000 / row.mean()  # a client sends its next request at once
                p50, p99 = np.percentile(row, [50, 99])
                ratio = p50 / np.median(rows["empty"])
                print(f"| {clients} | {name} | {rate:.0f} | {p50:.1f} | {p99:.1f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
