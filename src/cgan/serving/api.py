"""The HTTP API: ``uvicorn cgan.serving.api:app``, which listens on 127.0.0.1:8000 by default.

Environment variables: ``CGAN_LOGS`` (the folder with runs and exports), ``CGAN_DEVICE``, ``CGAN_QUEUE`` (requests
that may be queued), ``CGAN_TIME_LIMIT`` (seconds per request), ``CGAN_CORS`` (origins whose pages may call the API,
separated by commas, or ``*``) and ``CGAN_PLUGINS`` (modules that register generators).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response, UploadFile
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
from cgan.serving.service import MAX_IMAGES, MAX_SEED, MAX_TRUNCATION, Inversion, Service, UnknownModelError
from cgan.spec import DataSpec

CLASS = "a class's name or number"
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Class = Annotated[str, Field(max_length=100)]
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
FEW = 4  # at most this many pictures are encoded faster than a thread starts
BATCH = Histogram("cgan_batch_images", "Images drawn in one forward pass", buckets=[2**power for power in range(12)])
QUEUED = Gauge("cgan_queued_requests", "Requests in the queue")
router = APIRouter(prefix="/v1")


class Strict(BaseModel):
    """No parameters; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")


class Encoding(Strict):
    """The parameter of every drawing."""

    format: Format | None = Field(None, description="default: the first known media type of the Accept header, or png")


class Parameters(Encoding):
    """Parameters of a drawing with a model."""

    model: str | None = Field(None, max_length=300, description="a name from /v1/models; default: the default model")


class Truncated(Parameters):
    """Parameters of drawings with random latents."""

    truncation: float = Field(1.0, ge=0, le=MAX_TRUNCATION, description="below 1: neater, less varied")


class Variations(Truncated):
    """Parameters of a class."""

    n: int = Field(1, ge=1, le=MAX_IMAGES, description="how many; picture i has seed + i", examples=[5])
    seed: int = Field(0, ge=0, le=MAX_SEED - MAX_IMAGES)


class Styled(Truncated):
    """Parameters of a style."""

    classes: list[Class] = Field([], max_length=MAX_IMAGES, description=f"each {CLASS}; default: all", examples=[["7"]])


class Ends(Truncated):
    """Parameters of a morph."""

    start: Class = Field(description=CLASS, examples=["3"])
    end: Class = Field(description=CLASS, examples=["8"])
    start_seed: Seed = 0
    end_seed: Seed = 0
    frames: int = Field(16, ge=2, le=MAX_IMAGES, description="pictures, both ends included")


class Given(Parameters):
    """Parameters of the style of a picture."""

    class_: Class | None = Field(None, alias="class", description=f"{CLASS}, if known", examples=["7"])


class Samples(Strict):
    """Pictures, each with its class and seed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"classes": [2, 0, "2", 6], "seeds": [1, 2, 3, 4], "truncation": 0.8}]}
    )

    model: str | None = Field(None, max_length=300, description="a name from /v1/models")
    classes: list[Annotated[int, Field(strict=True)] | Class] = Field(
        min_length=1, max_length=MAX_IMAGES, description=f"each {CLASS}"
    )
    seeds: list[Annotated[Seed, Field(strict=True)]] | None = Field(
        None, max_length=MAX_IMAGES, description="one per class; default: 0, 1, 2, ..."
    )
    truncation: float = Field(1.0, ge=0, le=MAX_TRUNCATION, description="below 1: neater, less varied")


class Context:
    """What every drawing needs of its request.

    Args:
        request: The request.
        accept: Its Accept header.
    """

    def __init__(self, request: Request, accept: Annotated[str, Header(include_in_schema=False)] = "") -> None:
        self.request, self.state, self.accept = request, request.app.state, accept
        self.service: Service = request.app.state.service

    async def model(self, requested: str | None) -> tuple[str, DataSpec]:
        """Return the requested or default model with its data spec."""

        def find() -> tuple[str, DataSpec]:
            name = self.service.default_model() if requested is None else requested
            return name, self.service.spec(name)

        return await asyncio.to_thread(find)

    async def draw(self, request: DrawRequest, spec: DataSpec, requested: Format | None) -> Response:
        """Draw in the queue and encode."""

        async def work() -> Response:
            images = await self.state.drawing.draw(request)
            pictures = LabelledImages(images, torch.tensor(request.labels), torch.tensor(request.seeds))
            arguments = pictures, spec, responses.choose(requested, self.accept)
            if len(images) <= FEW:
                return encode(*arguments, model=request.model)
            return await asyncio.to_thread(encode, *arguments, model=request.model)

        return await within(self.request, work(), self.state.time_limit)

    async def render(
        self, work: Callable[[], LabelledImages], name: str, spec: DataSpec, requested: Format | None
    ) -> Response:
        """Draw outside the queue, in a thread, and encode."""
        kind = responses.choose(requested, self.accept)
        job = asyncio.to_thread(lambda: encode(work(), spec, kind, model=name))
        return await within(self.request, job, self.state.time_limit)


InContext = Annotated[Context, Depends()]


@router.get("/models", summary="List the generators: the bundled ones, then runs and exports, newest first")
def models(request: Request, _: Annotated[Strict, Query()]) -> list[ModelInfo]:
    """Each with its data set, classes and measured values, beside those of real images."""
    return [ModelInfo.model_validate(model) for model in request.app.state.service.models()]


@router.get("/classes/{name}", summary="Draw a class, n times", **DRAWN)
async def draw_class(
    context: InContext,
    name: Annotated[str, InPath(max_length=100, description=CLASS, examples=["7"])],
    query: Annotated[Variations, Query()],
) -> Response:
    """A class and a seed name a picture: the same request gives the same picture."""
    model, spec = await context.model(query.model)
    [label] = _labels([name], spec, status=404)
    seeds = list(range(query.seed, query.seed + query.n))
    return await context.draw(DrawRequest(model, [label] * query.n, seeds, query.truncation), spec, query.format)


@router.post("/samples", summary="Draw any classes with any seeds", **DRAWN)
async def draw_samples(context: InContext, body: Samples, query: Annotated[Encoding, Query()]) -> Response:
    """Picture i has class i and seed i; together they name it."""
    model, spec = await context.model(body.model)
    seeds = list(range(len(body.classes))) if body.seeds is None else body.seeds
    request = DrawRequest(model, _labels(body.classes, spec), seeds, body.truncation)
    return await context.draw(request, spec, query.format)


@router.get("/styles/{seed}", summary="Draw classes in one style, such as the digits of a number", **DRAWN)
async def draw_style(
    context: InContext, seed: Annotated[int, InPath(ge=0, le=MAX_SEED)], query: Annotated[Styled, Query()]
) -> Response:
    """The seed names one latent, with which every class is drawn."""
    model, spec = await context.model(query.model)
    labels = _labels(query.classes, spec) or list(range(spec.num_classes))

    def work() -> LabelledImages:
        images = context.service.render(model, context.service.style(model, seed, query.truncation), labels)
        return LabelledImages(images, torch.tensor(labels), torch.full((len(labels),), seed))

    return await context.render(work, model, spec, query.format)


@router.post("/styles", summary="Draw every class in the style of a picture", **DRAWN)
async def draw_given_style(context: InContext, picture: UploadFile, query: Annotated[Given, Query()]) -> Response:
    """The picture is one digit as PNG, JPEG or WebP, bright on dark or dark on bright."""
    model, spec = await context.model(query.model)
    known = _labels([query.class_], spec)[0] if query.class_ is not None else None
    pixels = await asyncio.to_thread(decode_image, await picture.read())
    kind = responses.choose(query.format, context.accept)

    def render(found: Inversion) -> Response:
        labels = torch.arange(spec.num_classes)
        images = context.service.render(model, found.z, labels.tolist())
        pictures = LabelledImages(images, labels, torch.full_like(labels, -1))
        return encode(pictures, spec, kind, model=model, read_as=spec.class_names[found.label], error=found.error)

    async def work() -> Response:
        return await asyncio.to_thread(render, await context.state.inversion.invert(model, pixels, known))

    return await within(context.request, work(), context.state.time_limit)


@router.get("/morphs", summary="Draw the frames from one picture to another", **DRAWN)
async def draw_morph(context: InContext, query: Annotated[Ends, Query()]) -> Response:
    """With format=gif they are an animation, there and back."""
    model, spec = await context.model(query.model)
    start, end = _labels([query.start, query.end], spec)

    def work() -> LabelledImages:
        seeds = query.start_seed, query.end_seed
        images = context.service.morph(model, (start, end), seeds, query.frames, query.truncation)
        share = torch.linspace(0, 1, query.frames)
        return LabelledImages(images, torch.where(share <= 0.5, start, end), torch.full((query.frames,), -1))

    return await context.render(work, model, spec, query.format)


def _labels(classes: Sequence[object], spec: DataSpec, status: int = 422) -> list[int]:
    try:
        return [spec.label_of(entry) for entry in classes]
    except CganError as error:
        raise HTTPException(status, str(error)) from error


async def healthz() -> Health:
    """For load balancers."""
    return Health(status="ok")


def create_app(
    service: Service, *, capacity: int = 128, time_limit: float = 30.0, origins: Sequence[str] = ()
) -> FastAPI:
    """Build the API over a service.

    Args:
        service: Draws.
        capacity: Requests that may be queued; an eighth of it for styles of pictures, which take seconds.
        time_limit: Seconds per request.
        origins: Whose pages may call the API from a browser; ``["*"]``: any.

    Raises:
        CganError: The capacity is below 1.
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
