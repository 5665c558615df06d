"""Many clients at once: requests from the API's own OpenAPI document, valid and not, clients that leave and slow ones.

``python tests/campaign.py api`` does it for minutes; the tests for a moment.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from playwright.sync_api import Page, expect
from schemathesis import GenerationMode
from servers import PATIENCE, chromium

ROOT = Path(__file__).parents[1]
Request = dict[str, Any]


@dataclass
class Load:
    """What clients saw.

    Attributes:
        statuses: Responses by status.
        broken: Requests without a response by reason.
        seconds: Of each response, by what it was: ``drawn`` (200) or ``refused``.
        failures: Responses of 500 and more in words; 503, too late, is documented.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"drawn": [], "refused": []})
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Load") -> None:
        self.statuses += other.statuses
        self.broken += other.broken
        self.failures += other.failures
        for kind, values in other.seconds.items():
            self.seconds[kind] += values


def requests(address: str, each: int) -> list[Request]:
    """Make ``each`` valid and as many invalid requests of every operation of the document, always the same ones."""
    found: list[Request] = []
    document = schemathesis.openapi.from_url(f"{address}/openapi.json")
    for result in document.get_all_operations():
        operation = result.ok()
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and operation.path in ("/healthz", "/v1/models", "/metrics"):
                continue  # they have nothing that could be wrong

            @seed(1)
            @settings(
                max_examples=each,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def collect(case: Any) -> None:
                found.append(_plain(case))

            collect()
    return found


def _plain(case: Any) -> Request:
    """Return a request as httpx takes it."""
    sent = case.as_transport_kwargs(base_url="http://x")
    parts = urlsplit(sent["url"])
    kept = {
        key: sent[key] for key in ("method", "params", "headers", "json", "data", "files") if sent.get(key) is not None
    }
    if isinstance(kept.get("data"), bytes | str):
        kept["content"] = kept.pop("data")
    kept["headers"] = {name: value for name, value in (kept.get("headers") or {}).items() if value is not None}
    return {**kept, "url": parts.path + (f"?{parts.query}" if parts.query else "")}


async def ask(address: str, asked: list[Request], clients: int, seconds: float, chance: random.Random) -> Load:
    """Let ``clients`` send requests, each the next one at once: one in ten leaves early, one in twenty is slow."""
    load, end = Load(), time.monotonic() + seconds

    async def client(number: int) -> None:
        own = random.Random(chance.random() + number)
        async with httpx.AsyncClient(base_url=address, timeout=120, trust_env=False) as session:
            while time.monotonic() < end:
                if own.random() < 0.05:
                    await _slow(address, own, load)
                else:
                    await _one(session, own, load, asked[own.randrange(len(asked))])

    await asyncio.gather(*(client(number) for number in range(clients)))
    return load


async def _one(session: httpx.AsyncClient, own: random.Random, load: Load, request: Request) -> None:
    start = time.monotonic()
    patience = own.uniform(0, 0.3) if own.random() < 0.1 else 120
    try:
        async with asyncio.timeout(patience):
            response = await session.request(**request)
    except TimeoutError:
        load.broken["left"] += 1
        return
    except (httpx.InvalidURL, AttributeError, TypeError, ValueError):  # httpx itself sends no such thing
        load.broken["not sent"] += 1
        return
    except httpx.TransportError as error:
        load.broken[type(error).__name__] += 1
        return
    load.seconds["drawn" if response.status_code == 200 else "refused"].append(time.monotonic() - start)
    load.statuses[response.status_code] += 1
    if response.status_code >= 500 and response.status_code != 503:
        load.failures.append(f"{request}: {response.status_code} {response.text[:300]}")


async def _slow(address: str, own: random.Random, load: Load) -> None:
    """Send a request byte by byte, or read its response so; leave in the middle, or wait for the end."""
    parts = urlsplit(address)
    lines = b"GET /v1/classes/7?n=50 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for byte in lines if own.random() < 0.5 else [lines]:
            writer.write(bytes([byte]) if isinstance(byte, int) else byte)
            await writer.drain()
            await asyncio.sleep(own.uniform(0, 0.02))
            if own.random() < 0.005:
                break
        else:
            while await reader.read(own.choice([1, 100, 10_000])):
                await asyncio.sleep(own.uniform(0, 0.01))
                if own.random() < 0.01:
                    break
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        load.broken["slow"] += 1
    except OSError as error:
        load.broken[f"slow: {type(error).__name__}"] += 1


def visit(address: str, sessions: int, rounds: int) -> Iterator[tuple[list[float], list[str]]]:
    """Open the page in ``sessions`` contexts at once; in each round draw in all of them at once.

    Yields:
        When each session had its first pictures, seconds, then, round for round, how long each drawing took; and the
        exceptions that the page shows. One session is looked at after the other: the times are upper bounds.
    """
    with chromium() as browser:
        pages, start = [browser.new_context().new_page() for _ in range(sessions)], time.monotonic()
        for one in pages:
            one.goto(address, wait_until="commit", timeout=PATIENCE * 1000)
        pictures = [one.locator("ul img") for one in pages]
        yield _seen(pages, start, lambda number: expect(pictures[number]).to_have_count(5))
        for _ in range(rounds):
            before = [images.first.get_attribute("src") or "" for images in pictures]
            start = time.monotonic()
            for one in pages:
                one.get_by_role("button", name="Generate").click(timeout=PATIENCE * 1000)
            yield _seen(
                pages,
                start,
                lambda number: expect(pictures[number].first).not_to_have_attribute("src", before[number]),  # noqa: B023
            )


def _seen(pages: list[Page], start: float, wait: Callable[[int], None]) -> tuple[list[float], list[str]]:
    seconds, errors = list[float](), list[str]()
    for number, one in enumerate(pages):
        wait(number)
        seconds.append(time.monotonic() - start)
        errors += one.get_by_test_id("stException").all_inner_texts()
    return seconds, errors
