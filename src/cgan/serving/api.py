"""The HTTP API: ``uvicorn cgan.serving.api:app``, which listens on 127.0.0.1:8000 by default.

Environment variables: ``CGAN_LOGS`` (the folder with runs and exports), ``CGAN_DEVICE``, ``CGAN_QUEUE`` (requests
that may be queued) and ``CGAN_TIME_LIMIT`` (seconds per request).
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import APIRouter, FastAPI, Query, Request, Response, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from cgan.errors import CganError
from cgan.sampling import formats
from cgan.sampling.decode import MAX_BYTES, decode_image
from cgan.serving.batching import BusyError, DrawQueue, DrawRequest, InversionQueue
from cgan.serving.limits import BodyLimit, within
from cgan.serving.monitor import Monitor, Monitored
from cgan.serving.responses import PICTURES, Format, Health, ModelInfo, Pictures, Problem, encode
from cgan.serving.service import MAX_IMAGES, MAX_SEED, MAX_TRUNCATION, Inversion, Service, UnknownModelError
from cgan.spec import DataSpec

Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]
Label = Annotated[int, Field(ge=0, strict=True)]
ModelName = Annotated[
    str | None,
    Query(max_length=300, description="a name from /models; the default model if left out"),
]
FormatName = Annotated[Format, Query(alias="format")]
Truncation = Annotated[float, Query(ge=0, le=MAX_TRUNCATION, description="below 1: neater, less varied")]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read"},
    404: {"model": Problem, "description": "There is no such model or class"},
    413: {"model": Problem, "description": f"The body is larger than {MAX_BYTES} bytes"},
    422: {"model": Problem, "description": "A value is out of range"},
    429: {"model": Problem, "description": "The queue is full; try again after Retry-After seconds"},
    503: {"model": Problem, "description": "Not done in time"},
}
FEW = 4  # at most this many pictures are encoded faster than a thread starts
router = APIRouter()


class Samples(BaseModel):
    """Pictures, each with its class and seed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"labels": [2, 0, 2, 6], "seeds": [1, 2, 3, 4], "truncation": 0.8}]},
    )

    model: str | None = Field(None, max_length=300, description="a name from /models")
    labels: list[Label] = Field(min_length=1, max_length=MAX_IMAGES)
    seeds: list[Seed] | None = Field(None, max_length=MAX_IMAGES, description="one per label; 0, 1, 2, ... if left out")
    truncation: float = Field(1.0, ge=0, le=MAX_TRUNCATION)


@router.get("/healthz")
async def healthz() -> Health:
    """Report that the server is running."""
    return Health(status="ok")


@router.get("/models")
def models(request: Request) -> list[ModelInfo]:
    """List the generators: the pretrained, then runs and exports, newest first."""
    return [ModelInfo.of(model) for model in request.app.state.service.models()]


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return the server's own metrics for Prometheus."""
    state = request.app.state
    state.monitor.queued.set(state.drawing.queue.qsize())
    return Response(state.monitor.text(), media_type="text/plain; version=0.0.4")


@router.get("/classes/{name}", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def classes(
    request: Request,
    name: Annotated[str, InPath(max_length=100, description="a class's name or number", examples=["7"])],
    n: Annotated[int, Query(ge=1, le=MAX_IMAGES, description="how many; picture i has seed + i", examples=[5])] = 1,
    seed: Annotated[int, Query(ge=0, le=MAX_SEED - MAX_IMAGES, examples=[0])] = 0,
    truncation: Truncation = 1.0,
    kind: FormatName = "png",
    model: ModelName = None,
) -> Response:
    """Draw one class, n times."""
    chosen, spec = await _model(request, model)
    try:
        label = spec.label_of(name)
    except CganError as error:
        raise HTTPException(404, str(error)) from error
    return await _draw(request, DrawRequest(chosen, [label] * n, list(range(seed, seed + n)), truncation), spec, kind)


@router.post("/samples", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def samples(request: Request, body: Samples, kind: FormatName = "png") -> Response:
    """Draw any classes at any seeds; a picture is named by its class and its seed."""
    name, spec = await _model(request, body.model)
    seeds = list(range(len(body.labels))) if body.seeds is None else body.seeds
    return await _draw(request, DrawRequest(name, body.labels, seeds, body.truncation), spec, kind)


@router.post("/style", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def style(
    request: Request,
    picture: UploadFile,
    label: Annotated[int | None, Query(ge=0, description="its class, if known", examples=[7])] = None,
    kind: FormatName = "png",
    model: ModelName = None,
) -> Response:
    """Draw every class in the style of a picture: one digit as PNG, JPEG or WebP, bright on dark or dark on bright."""
    state = request.app.state
    name, spec = await _model(request, model)
    pixels = await asyncio.to_thread(decode_image, await picture.read())

    def drawn(found: Inversion) -> Response:
        labels = torch.arange(spec.num_classes)
        images = state.service.render(name, found.z, labels.tolist())
        pictures = formats.LabelledImages(images, labels, torch.full_like(labels, -1))
        return encode(pictures, spec, kind, model=name, read_as=spec.class_names[found.label], error=found.error)

    async def work() -> Response:
        return await asyncio.to_thread(drawn, await state.inversion.invert(name, pixels, label))

    return await within(request, work(), state.time_limit)


async def _model(request: Request, requested: str | None) -> tuple[str, DataSpec]:
    service: Service = request.app.state.service

    def look_up() -> tuple[str, DataSpec]:
        name = service.default_model() if requested is None else requested
        return name, service.spec(name)

    return await asyncio.to_thread(look_up)


async def _draw(request: Request, requested: DrawRequest, spec: DataSpec, kind: Format) -> Response:
    state = request.app.state

    async def work() -> Response:
        images = await state.drawing.draw(requested)
        drawn = formats.LabelledImages(images, torch.tensor(requested.labels), torch.tensor(requested.seeds))
        if len(images) <= FEW:
            return encode(drawn, spec, kind, model=requested.model)
        return await asyncio.to_thread(encode, drawn, spec, kind, model=requested.model)

    return await within(request, work(), state.time_limit)


def create_app(service: Service, *, capacity: int = 128, time_limit: float = 30.0) -> FastAPI:
    """Build the API over a service.

    Args:
        service: Draws.
        capacity: Requests that may be queued; an eighth of it for styles of pictures, which take seconds.
        time_limit: Seconds per request.

    Raises:
        CganError: The capacity is below 1.
    """
    if capacity < 1:
        raise CganError(f"CGAN_QUEUE={capacity}: expected a number of requests from 1")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.drawing = DrawQueue(service, capacity, app.state.monitor.batch.observe)
        app.state.inversion = InversionQueue(service, max(1, capacity // 8))
        with suppress(CganError):  # without a model every request gets the error
            await asyncio.to_thread(lambda: service.draw(service.default_model(), [0], [0]))
        worker = asyncio.create_task(app.state.drawing.work())
        yield
        worker.cancel()

    app = FastAPI(title="cgan", description="Draw pictures with class-conditional GANs.", lifespan=lifespan)
    app.state.service, app.state.time_limit, app.state.monitor = service, time_limit, Monitor()
    app.include_router(router)
    app.add_middleware(BodyLimit, limit=MAX_BYTES)
    app.add_middleware(Monitored, monitor=app.state.monitor)
    app.add_exception_handler(CganError, lambda _, error: _problem(422, str(error)))
    app.add_exception_handler(UnknownModelError, lambda _, error: _problem(404, str(error)))
    app.add_exception_handler(BusyError, lambda *_: _problem(429, "the queue is full", {"Retry-After": "1"}))
    app.add_exception_handler(RequestValidationError, lambda _, error: _problem(422, _first_message(error)))
    app.add_exception_handler(
        HTTPException, lambda _, error: _problem(error.status_code, str(error.detail), error.headers)
    )
    return app


def _problem(status: int, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


def _first_message(error: Any) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]


def _from_environment() -> FastAPI:
    """Build the API from the environment variables."""
    environ = os.environ
    service = Service(Path(environ.get("CGAN_LOGS", "logs")), environ.get("CGAN_DEVICE", "cpu"))
    return create_app(
        service, capacity=int(environ.get("CGAN_QUEUE", "128")), time_limit=float(environ.get("CGAN_TIME_LIMIT", "30"))
    )


app = _from_environment()
