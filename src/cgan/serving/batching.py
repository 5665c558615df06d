"""Waiting lines: concurrent wishes share one forward pass, and a full line says so at once."""

import asyncio
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.sampling.draw import render
from cgan.sampling.invert import Inversion
from cgan.serving.service import MAX_IMAGES, Service


class BusyError(Exception):
    """The line is full; come back later."""


class _GoneError(Exception):
    """Nobody waits for the answer any more."""


class Wish(NamedTuple):
    """Pictures that somebody asked for; see :meth:`Service.draw`.

    Attributes:
        model: A name from the listing.
        labels: N classes.
        seeds: N seeds.
        truncation: Factor on the latents.
    """

    model: str
    labels: list[int]
    seeds: list[int]
    truncation: float


class _Job(NamedTuple):
    wish: Wish
    answer: "asyncio.Future[Tensor]"


class Drawing:
    """Draw the wishes of many clients, those that wait together in one forward pass.

    Args:
        service: The core.
        places: Wishes that may wait.
        on_batch: Told the number of pictures of each pass.
    """

    def __init__(self, service: Service, places: int, on_batch: Callable[[int], None]) -> None:
        self.service = service
        self.on_batch = on_batch
        self.line: asyncio.Queue[_Job] = asyncio.Queue(places)

    async def draw(self, wish: Wish) -> Tensor:
        """Return the pictures, (N, C, H, W) uint8.

        Raises:
            BusyError: The line is full.
            CganError: The wish cannot be met.
        """
        job = _Job(wish, asyncio.get_running_loop().create_future())
        try:
            self.line.put_nowait(job)
        except asyncio.QueueFull as error:
            raise BusyError from error
        return await job.answer

    async def work(self) -> None:
        """Serve the line until cancelled."""
        while True:
            jobs = [await self.line.get()]
            while not self.line.empty() and sum(len(job.wish.labels) for job in jobs) < MAX_IMAGES:
                jobs.append(self.line.get_nowait())
            jobs = [job for job in jobs if not job.answer.done()]  # done: the client has gone or waited too long
            answers = await asyncio.to_thread(self._draw_together, [job.wish for job in jobs])
            for job, answer in zip(jobs, answers, strict=True):
                if job.answer.done():
                    continue
                if isinstance(answer, Exception):
                    job.answer.set_exception(answer)
                else:
                    job.answer.set_result(answer)

    def _draw_together(self, wishes: list[Wish]) -> list[Tensor | Exception]:
        answers: list[Tensor | Exception] = [CganError("not drawn")] * len(wishes)
        latents: dict[str, dict[int, Tensor]] = {}
        for place, (model, labels, seeds, truncation) in enumerate(wishes):
            try:
                latents.setdefault(model, {})[place] = self.service.latents(model, labels, seeds, truncation)
            except Exception as error:  # one bad wish must not spoil its neighbours'
                answers[place] = error
        for model, parts in latents.items():
            labels = [label for place in parts for label in wishes[place].labels]
            try:
                images = render(self.service.generator(model), torch.cat(list(parts.values())), torch.tensor(labels))
            except Exception as error:
                answers = [error if place in parts else answer for place, answer in enumerate(answers)]
                continue
            self.on_batch(len(labels))
            for place, own in zip(parts, images.split([len(z) for z in parts.values()]), strict=True):
                answers[place] = own
        return answers


class Handwriting:
    """Find handwritings, one at a time; a search stops when nobody waits for it any more.

    Args:
        service: The core.
        places: Searches that may wait or run.
    """

    def __init__(self, service: Service, places: int) -> None:
        self.service = service
        self.free = places
        self.turn = asyncio.Lock()

    async def find(self, model: str, picture: np.ndarray, label: int | None) -> Inversion:
        """Search; see :meth:`Service.invert`.

        Raises:
            BusyError: The line is full.
            CganError: The picture cannot be used.
        """
        if self.free == 0:
            raise BusyError
        self.free -= 1
        gone = threading.Event()

        def stop_if_gone(_: float) -> None:
            if gone.is_set():
                raise _GoneError

        try:
            async with self.turn:
                search = asyncio.create_task(
                    asyncio.to_thread(self.service.invert, model, picture, label, stop_if_gone)
                )
                try:
                    return await asyncio.shield(search)
                finally:  # the turn is over when the thread has stopped, not when its caller has left
                    gone.set()
                    await asyncio.gather(search, return_exceptions=True)
        finally:
            self.free += 1
