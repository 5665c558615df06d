"""What the server does not put up with: large bodies, long work, work that nobody waits for."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Answer = TypeVar("Answer")


class BodyLimit:
    """Refuse a body of more than ``most`` bytes with status 413, counted as it arrives, whatever its header claims.

    Args:
        app: What to guard.
        most: Bytes.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, f"the body is larger than {self.most} bytes")
            return message

        await self.app(scope, counted if scope["type"] == "http" else receive, send)


async def while_waited_for(request: Request, work: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
    """Do the work, but no longer than ``seconds`` and only while the client is there; its body must be read already.

    Raises:
        HTTPException: Status 503 after ``seconds``; 499, which nobody sees, when the client has gone.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            gone.result()  # raises if the rest of the body was too large
            raise HTTPException(499, "the client has gone")
        raise HTTPException(503, f"not done within {seconds:g} seconds; ask for less", {"Retry-After": "5"})
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
