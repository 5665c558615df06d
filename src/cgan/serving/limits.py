"""Limits on requests: bytes of the body, seconds of work, and no work after the client has gone."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Result = TypeVar("Result")


METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
"""The methods of HTTP (RFC 9110, section 9; RFC 5789)."""


class KnownMethods:
    """Refuse any other word in place of a method with status 405: each would leave counters of its own in /metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http" and scope["method"] not in METHODS:
            refusal = JSONResponse({"error": "no method of HTTP"}, 405, {"Allow": "GET, POST"})
            return await refusal(scope, receive, send)
        return await self.app(scope, receive, send)


class BodyLimit:
    """Refuse a body of more than ``limit`` bytes with status 413, and one that takes too long with 408.

    It is counted as it arrives, not by its header.

    Args:
        app: What it stands before.
        limit: Bytes.
        seconds: From the request's start to the end of its body.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        seen, arriving = 0, True
        end = time.monotonic() + self.seconds

        async def counted() -> Message:
            nonlocal seen, arriving
            try:
                async with asyncio.timeout(max(0.0, end - time.monotonic()) if arriving else None):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"the body has not arrived within {self.seconds:g} seconds") from error
            arriving = arriving and message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise HTTPException(413, f"the body is larger than {self.limit} bytes")
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)


async def within(request: Request, work: Coroutine[Any, Any, Result], seconds: float) -> Result:
    """Do the work within ``seconds`` while the client is connected; its body must have been read before.

    Raises:
        HTTPException: Status 503 after ``seconds``; 499, which nobody receives, when the client has gone.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            gone.result()  # raises if the rest of the body was too large
            raise HTTPException(499, "the client has gone")
        raise HTTPException(503, f"not done within {seconds:g} seconds; request fewer pictures", {"Retry-After": "5"})
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
