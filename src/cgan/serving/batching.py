"""Queues: concurrent requests share one forward pass, and a full queue refuses at once.

Networks run in one thread, searches in another: what a thread of torch has used, glibc keeps for that thread, so that
memory would grow with the threads, and each would start as many threads of its own as there are cores.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.sampling.draw import render
from cgan.sampling.invert import Inversion
from cgan.serving.service import MAX_IMAGES, Service

Result = TypeVar("Result")


class BusyError(Exception):
    """The queue is full; the client may try again later."""


class _CancelledError(Exception):
    """The client has disconnected."""


class DrawRequest(NamedTuple):
    """The images of one request; see :meth:`Service.draw`."""

    model: str
    labels: list[int]
    seeds: list[int]
    truncation: float


class _Job(NamedTuple):
    request: DrawRequest
    result: "asyncio.Future[Tensor]"


class DrawQueue:
    """Draw the images of many clients; requests that are queued together share a forward pass.

    At most ``capacity`` requests are queued; ``on_batch`` is called with the number of images of each pass.
    """

    def __init__(self, service: Service, capacity: int, on_batch: Callable[[int], None]) -> None:
        self.service = service
        self.capacity = capacity
        self.on_batch = on_batch
        self.queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._others = 0
        self._thread = ThreadPoolExecutor(1, "draw")

    def queued(self) -> int:
        """Return how many requests are queued; other work counts until it is done."""
        return self.queue.qsize() + self._others

    async def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Let networks do other work in the same thread, in turn.

        Raises:
            BusyError: The queue is full.
        """
        self._refuse_if_full()
        self._others += 1
        try:
            return await self._in_thread(work, *arguments)
        finally:
            self._others -= 1

    async def draw(self, request: DrawRequest) -> Tensor:
        """Return the images, (N, C, H, W) uint8.

        Raises:
            BusyError: The queue is full.
        """
        self._refuse_if_full()
        job = _Job(request, asyncio.get_running_loop().create_future())
        self.queue.put_nowait(job)
        return await job.result

    async def work(self) -> None:
        """Serve the queue until cancelled."""
        while True:
            jobs = [await self.queue.get()]
            while not self.queue.empty() and sum(len(job.request.labels) for job in jobs) < MAX_IMAGES:
                jobs.append(self.queue.get_nowait())
            jobs = [job for job in jobs if not job.result.done()]  # done: the client has gone or the time is over
            results = await self._in_thread(self._draw_together, [job.request for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                if job.result.done():
                    continue
                if isinstance(result, Exception):
                    job.result.set_exception(result)
                else:
                    job.result.set_result(result)

    def _refuse_if_full(self) -> None:
        if self.queued() >= self.capacity:
            raise BusyError

    async def _in_thread(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _draw_together(self, requests: list[DrawRequest]) -> list[Tensor | Exception]:
        results: list[Tensor | Exception] = [CganError("not drawn")] * len(requests)
        latents: dict[str, dict[int, Tensor]] = {}
        for index, (model, labels, seeds, truncation) in enumerate(requests):
            try:
                latents.setdefault(model, {})[index] = self.service.latents(model, labels, seeds, truncation)
            except Exception as error:  # a bad request must not fail the others of its batch
                results[index] = error
        for model, parts in latents.items():
            labels = [label for index in parts for label in requests[index].labels]
            try:
                images = render(self.service.generator(model), torch.cat(list(parts.values())), torch.tensor(labels))
            except Exception as error:
                results = [error if index in parts else result for index, result in enumerate(results)]
                continue
            self.on_batch(len(labels))
            for index, own in zip(parts, images.split([len(z) for z in parts.values()]), strict=True):
                results[index] = own
        return results


class InversionQueue:
    """Search latents of pictures, one at a time, at most ``capacity`` queued; a client that leaves ends its search."""

    def __init__(self, service: Service, capacity: int) -> None:
        self.service = service
        self.free = capacity
        self._thread = ThreadPoolExecutor(1, "invert")

    async def invert(self, model: str, picture: np.ndarray, label: int | None) -> Inversion:
        """Search; see :meth:`Service.invert`.

        Raises:
            BusyError: The queue is full.
        """
        if self.free == 0:
            raise BusyError
        self.free -= 1
        cancelled = threading.Event()

        def stop_if_cancelled(_: float) -> None:
            if cancelled.is_set():
                raise _CancelledError

        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self.service.invert, model, picture, label, stop_if_cancelled
            )
        finally:
            cancelled.set()
            self.free += 1
