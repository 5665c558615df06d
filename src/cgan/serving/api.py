"""The HTTP API: ``uvicorn cgan.serving.api:app``, which listens on 127.0.0.1:8000 by default.

Environment variables: ``CGAN_LOGS`` (the folder with runs and exports), ``CGAN_DEVICE``, ``CGAN_QUEUE`` (requests
that may be queued), ``CGAN_TIME_LIMIT`` (seconds per request), ``CGAN_CORS`` (origins whose pages may call the API,
separated by commas, or ``*``) and ``CGAN_PLUGINS`` (modules that register generators).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, UploadFile
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import Gauge, Histogram
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette_exporter import PrometheusMiddleware, handle_metrics

from cgan.errors import CganError
from cgan.sampling.decode import MAX_BYTES, decode_image
from cgan.sampling.formats import LabelledImages
from cgan.serving import responses
from cgan.serving.batching import BusyError, DrawQueue, DrawRequest, InversionQueue
from cgan.serving.limits import BodyLimit, within
from cgan.serving.responses import PICTURES, Format, Health, ModelInfo, Problem, encode
from cgan.serving.service import MAX_IMAGES, MAX_SEED, MAX_TRUNCATION, Service, UnknownModelError
from cgan.spec import DataSpec

CLASS = "a class's name or number"
Class = Annotated[str, Field(max_length=100, description=CLASS, examples=["7"])]
Classes = Annotated[Sequence[Class], Query(max_length=MAX_IMAGES, description=f"each {CLASS}; default: all")]
InPathClass = Annotated[str, InPath(max_length=100, description=CLASS, examples=["7"])]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Truncation = Annotated[float, Field(ge=0, le=MAX_TRUNCATION, description="below 1: neater, less varied")]
ModelName = Annotated[
    str | None, Field(max_length=300, description="a name from /v1/models; default: the default model")
]
FormatName = Annotated[
    Format | None, Query(alias="format", description="default: the first known type of the Accept header, or png")
]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read"},
    404: {"model": Problem, "description": "There is no such model or class"},
    413: {"model": Problem, "description": f"The body is larger than {MAX_BYTES} bytes"},
    422: {"model": Problem, "description": "A value is out of range, or a parameter is unknown"},
    429: {"model": Problem, "description": "The queue is full; try again after Retry-After seconds"},
    503: {"model": Problem, "description": "Not done in time"},
}
DRAWN: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {**PICTURES, "model": responses.Pictures}, **PROBLEMS},
}
MAX_LAYERS = 100
FEW = 4  # at most this many pictures are encoded faster than a thread starts
BATCH = Histogram("cgan_batch_images", "Images drawn in one forward pass", buckets=[2**power for power in range(12)])
QUEUED = Gauge("cgan_queued_requests", "Requests in the queue")


def known_parameters(request: Request) -> None:
    """Refuse parameters that the route does not have."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    if unknown := set(request.query_params) - known:
        raise HTTPException(
            422, f"{min(unknown)!r:.100}: no such parameter; expected one of {', '.join(sorted(known))}"
        )


router = APIRouter(prefix="/v1", dependencies=[Depends(known_parameters)])


class Samples(BaseModel):
    """Pictures, each with its class and seed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"classes": [2, 0, "2", 6], "seeds": [1, 2, 3, 4], "truncation": 0.8}]},
    )

    model: ModelName = None
    classes: list[Annotated[int, Field(strict=True)] | Class] = Field(min_length=1, max_length=MAX_IMAGES)
    seeds: list[Annotated[Seed, Field(strict=True)]] | None = Field(
        None, max_length=MAX_IMAGES, description="one per class; default: 0, 1, 2, ..."
    )
    truncation: Truncation = 1.0


@router.get("/models", summary="List the generators: the bundled ones, then runs and exports, newest first")
def models(request: Request) -> list[ModelInfo]:
    """Each with its data set, classes and measured values, beside those of real images."""
    return [ModelInfo.model_validate(model) for model in request.app.state.service.models()]


@router.get("/classes/{name}", summary="Draw a class, n times", **DRAWN)
async def draw_class(
    request: Request,
    name: InPathClass,
    n: Annotated[int, Query(ge=1, le=MAX_IMAGES, description="how many; picture i has seed + i", examples=[5])] = 1,
    seed: Annotated[int, Query(ge=0, le=MAX_SEED - MAX_IMAGES)] = 0,
    truncation: Truncation = 1.0,
    kind: FormatName = None,
    model: ModelName = None,
) -> Response:
    """A class and a seed name a picture: the same request gives the same picture."""
    found, spec = await _model(request, model)
    labels = _labels([name], spec, status=404) * n
    return await _queue(request, DrawRequest(found, labels, list(range(seed, seed + n)), truncation), spec, kind)


@router.post("/samples", summary="Draw any classes with any seeds", **DRAWN)
async def draw_samples(request: Request, body: Samples, kind: FormatName = None) -> Response:
    """Picture i has class i and seed i; together they name it."""
    model, spec = await _model(request, body.model)
    seeds = list(range(len(body.classes))) if body.seeds is None else body.seeds
    job = DrawRequest(model, _labels(body.classes, spec), seeds, body.truncation)
    return await _queue(request, job, spec, kind)


@router.get("/styles/{seed}", summary="Draw classes in one style, such as the digits of a number", **DRAWN)
async def draw_style(
    request: Request,
    seed: Annotated[int, InPath(ge=0, le=MAX_SEED)],
    classes: Classes = (),
    truncation: Truncation = 1.0,
    kind: FormatName = None,
    model: ModelName = None,
) -> Response:
    """The seed names one latent, with which every class is drawn."""
    found, spec = await _model(request, model)
    labels = _labels(classes, spec) or list(range(spec.num_classes))
    service: Service = request.app.state.service

    def draw() -> LabelledImages:
        images = service.render(found, service.style(found, seed), labels, truncation)
        return LabelledImages(images, torch.tensor(labels), torch.full((len(labels),), seed))

    return await _respond(request, asyncio.to_thread(draw), spec, kind, {"model": found})


@router.post("/styles", summary="Draw every class in the style of a picture", **DRAWN)
async def draw_given_style(
    request: Request,
    picture: UploadFile,
    label: Annotated[Class | None, Query(alias="class", description=f"{CLASS}, if known")] = None,
    kind: FormatName = None,
    model: ModelName = None,
) -> Response:
    """The picture is one digit as PNG, JPEG or WebP, bright on dark or dark on bright."""
    state = request.app.state
    name, spec = await _model(request, model)
    known = None if label is None else _labels([label], spec)[0]
    pixels = await asyncio.to_thread(decode_image, await picture.read())
    fields: dict[str, Any] = {"model": name}

    async def draw() -> LabelledImages:
        found = await state.inversion.invert(name, pixels, known)
        labels = torch.arange(spec.num_classes)
        fields.update(read_as=spec.class_names[found.label], error=found.error)
        images = await asyncio.to_thread(state.service.like, name, found, labels.tolist())
        return LabelledImages(images, labels, torch.full_like(labels, -1))

    return await _respond(request, draw(), spec, kind, fields)


@router.get("/mixes", summary="Draw classes in a mix of two styles, with a style-based generator", **DRAWN)
async def draw_mix(
    request: Request,
    coarse: Seed,
    fine: Seed,
    classes: Classes = (),
    crossover: Annotated[int | None, Query(ge=1, le=MAX_LAYERS, description="first fine layer; default: half")] = None,
    truncation: Truncation = 1.0,
    kind: FormatName = None,
    model: ModelName = None,
) -> Response:
    """The coarse layers are those of one style and the fine layers those of another; seeds as in /v1/styles/{seed}."""
    found, spec = await _model(request, model)
    labels = _labels(classes, spec) or list(range(spec.num_classes))
    service: Service = request.app.state.service

    def draw() -> LabelledImages:
        styles = service.style(found, coarse), service.style(found, fine)
        images = service.mix(found, styles, labels, crossover, truncation)
        return LabelledImages(images, torch.tensor(labels), torch.full((len(labels),), -1))

    return await _respond(request, asyncio.to_thread(draw), spec, kind, {"model": found})


@router.get("/morphs", summary="Draw the frames from one picture to another", **DRAWN)
async def draw_morph(
    request: Request,
    start: Class,
    end: Class,
    start_seed: Seed = 0,
    end_seed: Seed = 0,
    frames: Annotated[int, Query(ge=2, le=MAX_IMAGES, description="pictures, both ends included")] = 16,
    truncation: Truncation = 1.0,
    kind: FormatName = None,
    model: ModelName = None,
) -> Response:
    """With format=gif they are an animation, there and back."""
    name, spec = await _model(request, model)
    first, last = _labels([start, end], spec)
    service: Service = request.app.state.service

    def draw() -> LabelledImages:
        images = service.morph(name, (first, last), (start_seed, end_seed), frames, truncation)
        labels = torch.where(torch.linspace(0, 1, frames) <= 0.5, first, last)
        return LabelledImages(images, labels, torch.full((frames,), -1))

    return await _respond(request, asyncio.to_thread(draw), spec, kind, {"model": name})


def _labels(classes: Sequence[object], spec: DataSpec, status: int = 422) -> list[int]:
    try:
        return [spec.label_of(entry) for entry in classes]
    except CganError as error:
        raise HTTPException(status, str(error)) from error


async def _model(request: Request, requested: str | None) -> tuple[str, DataSpec]:
    """Return the requested or default model with its data spec."""
    service: Service = request.app.state.service

    def find() -> tuple[str, DataSpec]:
        name = service.default_model() if requested is None else requested
        return name, service.spec(name)

    return await asyncio.to_thread(find)


async def _queue(request: Request, job: DrawRequest, spec: DataSpec, kind: Format | None) -> Response:
    """Draw together with other requests, and respond."""

    async def draw() -> LabelledImages:
        images = await request.app.state.drawing.draw(job)
        return LabelledImages(images, torch.tensor(job.labels), torch.tensor(job.seeds))

    return await _respond(request, draw(), spec, kind, {"model": job.model})


async def _respond(
    request: Request,
    drawing: Coroutine[Any, Any, LabelledImages],
    spec: DataSpec,
    kind: Format | None,
    fields: dict[str, Any],
) -> Response:
    """Encode what is drawn within the time limit."""
    chosen = responses.choose(kind, request.headers.get("accept", ""))

    async def work() -> Response:
        samples = await drawing
        if len(samples.images) <= FEW:
            return encode(samples, spec, chosen, **fields)
        return await asyncio.to_thread(lambda: encode(samples, spec, chosen, **fields))

    return await within(request, work(), request.app.state.time_limit)


async def healthz() -> Health:
    """For load balancers."""
    return Health(status="ok")


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

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.drawing = DrawQueue(service, capacity, BATCH.observe)
        app.state.inversion = InversionQueue(service, max(1, capacity // 8))
        QUEUED.set_function(app.state.drawing.queue.qsize)
        with suppress(CganError):  # without a model every request gets the error
            await asyncio.to_thread(lambda: service.draw(service.default_model(), [0], [0]))
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
    app.add_middleware(BodyLimit, limit=MAX_BYTES)
    app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"])
    app.add_middleware(
        PrometheusMiddleware, app_name="cgan", prefix="cgan", group_unhandled_paths=True, filter_unhandled_paths=False
    )
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
        service,
        capacity=int(environ.get("CGAN_QUEUE", "128")),
        time_limit=float(environ.get("CGAN_TIME_LIMIT", "30")),
        origins=list(filter(None, environ.get("CGAN_CORS", "").split(","))),
    )


app = _from_environment()
