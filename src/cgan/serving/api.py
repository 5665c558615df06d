"""The HTTP API: ``uvicorn cgan.serving.api:app``, which listens on 127.0.0.1:8000 by default.

Environment variables: ``CGAN_LOGS`` (the folder with runs and exports), ``CGAN_DEVICE``, ``CGAN_QUEUE`` (requests
that may be queued), ``CGAN_TIME_LIMIT`` (seconds per request), ``CGAN_CORS`` (origins whose pages may call the API,
separated by commas, or ``*``) and ``CGAN_PLUGINS`` (modules that register generators).
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette_exporter import PrometheusMiddleware, handle_metrics

from cgan.errors import CganError, check_number
from cgan.sampling.decode import MAX_BYTES
from cgan.serving.batching import BusyError, DrawQueue, InversionQueue
from cgan.serving.limits import BodyLimit, KnownMethods
from cgan.serving.responses import Health
from cgan.serving.routes import router
from cgan.serving.service import Service, UnknownModelError

log = logging.getLogger("uvicorn.error")  # where the server writes what it does
BATCH = Histogram("cgan_batch_images", "Images drawn in one forward pass", buckets=[2**power for power in range(12)])
Number = TypeVar("Number", int, float)
QUEUED = Gauge("cgan_queued_requests", "Requests in the queue")


def create_app(
    service: Service, *, capacity: int = 128, time_limit: float = 30.0, origins: Sequence[str] = ()
) -> FastAPI:
    """Build the API over a service.

    Args:
        service: Draws.
        capacity: Requests that may be queued, from 1; an eighth of it for styles of pictures, which take seconds.
        time_limit: Seconds per request.
        origins: Whose pages may call the API from a browser; ``["*"]``: any.
    """
    if capacity < 1:
        raise CganError(f"CGAN_QUEUE={capacity}: expected a number of requests from 1")
    check_number("CGAN_TIME_LIMIT", time_limit, 0)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.drawing = DrawQueue(service, capacity, BATCH.observe)
        app.state.inversion = InversionQueue(service, max(1, capacity // 8))
        QUEUED.set_function(app.state.drawing.queued)
        with suppress(CganError):  # without a model every request gets the error
            await app.state.drawing.run(lambda: service.draw(service.default_model(), [0], [0]))
            model = service.model(service.default_model())
            log.info("Requests that name no model get %s", model.label)
            if model.warning:
                log.warning(model.warning)
        worker = asyncio.create_task(app.state.drawing.work())
        yield
        worker.cancel()

    description = "Draw pictures with class-conditional GANs."
    app = FastAPIOffline(title="cgan", description=description, lifespan=lifespan, redoc_url=None)
    app.state.service, app.state.time_limit = service, time_limit
    app.include_router(router)
    app.add_api_route("/healthz", healthz, summary="Report that the server is running")
    app.add_route("/metrics", handle_metrics)
    app.add_route("/", lambda _: RedirectResponse("docs"))
    _add_middleware(app, origins)
    _add_messages(app)
    return app


async def healthz() -> Health:
    """For load balancers."""
    return Health(status="ok")


def _add_middleware(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(BodyLimit, limit=MAX_BYTES, seconds=app.state.time_limit)
    app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"])
    app.add_middleware(
        PrometheusMiddleware, app_name="cgan", prefix="cgan", group_unhandled_paths=True, filter_unhandled_paths=False
    )
    app.add_middleware(KnownMethods)  # the last one is the outermost


def _add_messages(app: FastAPI) -> None:
    """Answer every error with its status and one line."""

    def answer(status: int, message: str, headers: Any = None) -> JSONResponse:
        return JSONResponse({"error": message}, status, headers)

    def wrong_value(_: object, error: Any) -> JSONResponse:
        first = error.errors()[0]
        return answer(422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300])

    for kind, handler in {
        CganError: lambda _, error: answer(422, str(error)),
        UnknownModelError: lambda _, error: answer(404, str(error)),
        BusyError: lambda *_: answer(429, "the queue is full", {"Retry-After": "1"}),
        RequestValidationError: wrong_value,
        HTTPException: lambda _, error: answer(error.status_code, str(error.detail), error.headers),
    }.items():
        app.add_exception_handler(kind, handler)


def _from_environment() -> FastAPI:
    """Build the API from the environment variables."""
    environ = os.environ
    service = Service(Path(environ.get("CGAN_LOGS", "logs")), environ.get("CGAN_DEVICE", "cpu"))
    return create_app(
        service,
        capacity=_number("CGAN_QUEUE", 128),
        time_limit=_number("CGAN_TIME_LIMIT", 30.0),
        origins=environ.get("CGAN_CORS", "").replace(",", " ").split(),
    )


def _number(name: str, default: Number) -> Number:
    """Read an environment variable as a number of the kind of its default."""
    try:
        return type(default)(os.environ.get(name, default))
    except ValueError as error:
        raise CganError(f"{name}={os.environ[name]}: expected a number such as {default}") from error


app = _from_environment()
