"""The HTTP API: ``uvicorn cgan.serving.api:app``, which listens on 127.0.0.1:8000 unless told otherwise.

The environment can say where and how much: ``CGAN_LOGS`` (the folder with runs and exports), ``CGAN_DEVICE``,
``CGAN_QUEUE`` (requests that may wait) and ``CGAN_TIME_LIMIT`` (seconds per request).
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
from cgan.sampling.pictures import MAX_BYTES, decode_picture
from cgan.serving.answers import PICTURES, Format, Health, ModelInfo, Pictures, Problem, answer
from cgan.serving.batching import BusyError, Drawing, Handwriting, Wish
from cgan.serving.limits import BodyLimit, while_waited_for
from cgan.serving.monitor import Monitor, Monitored
from cgan.serving.service import MAX_IMAGES, MAX_SEED, MAX_TRUNCATION, Inversion, Service, UnknownModelError
from cgan.spec import DataSpec

Seed = Annotated[int, Field(ge=0, le=MAX_SEED, strict=True)]
Label = Annotated[int, Field(ge=0, strict=True)]
ModelName = Annotated[
    str | None,
    Query(max_length=300, description="a name from /models; the first usable if left out"),
]
FormatName = Annotated[Format, Query(alias="format")]
Truncation = Annotated[float, Query(ge=0, le=MAX_TRUNCATION, description="less than 1: neater and less varied")]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read"},
    404: {"model": Problem, "description": "There is no such model or class"},
    413: {"model": Problem, "description": f"The body is larger than {MAX_BYTES} bytes"},
    422: {"model": Problem, "description": "A value is out of range"},
    429: {"model": Problem, "description": "The line is full; come back after Retry-After seconds"},
    503: {"model": Problem, "description": "Not done in time"},
}
FEW = 4  # so many pictures are encoded faster than a thread is found for them
router = APIRouter()


class Samples(BaseModel):
    """Pictures that are asked for one by one."""

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
    """Say that the server answers."""
    return Health(status="ok")


@router.get("/models")
def models(request: Request) -> list[ModelInfo]:
    """List the generators: the pretrained, then runs and exports, newest first."""
    return [ModelInfo.of(model) for model in request.app.state.service.models()]


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Give the server's own numbers to Prometheus."""
    state = request.app.state
    state.monitor.waiting.set(state.drawing.line.qsize())
    return Response(state.monitor.text(), media_type="text/plain; version=0.0.4")


@router.get("/digits/{digit}", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def digits(
    request: Request,
    digit: Annotated[str, InPath(max_length=100, description="a class's name or number", examples=["7"])],
    n: Annotated[int, Query(ge=1, le=MAX_IMAGES, description="how many; picture i has seed + i", examples=[5])] = 1,
    seed: Annotated[int, Query(ge=0, le=MAX_SEED - MAX_IMAGES, examples=[0])] = 0,
    truncation: Truncation = 1.0,
    kind: FormatName = "png",
    model: ModelName = None,
) -> Response:
    """Draw one class, n times."""
    name, spec = await _model(request, model)
    try:
        label = spec.label_of(digit)
    except CganError as error:
        raise HTTPException(404, str(error)) from error
    return await _draw(request, Wish(name, [label] * n, list(range(seed, seed + n)), truncation), spec, kind)


@router.post("/samples", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def samples(request: Request, wanted: Samples, kind: FormatName = "png") -> Response:
    """Draw any classes at any seeds; a picture is named by its class and its seed."""
    name, spec = await _model(request, wanted.model)
    seeds = list(range(len(wanted.labels))) if wanted.seeds is None else wanted.seeds
    return await _draw(request, Wish(name, wanted.labels, seeds, wanted.truncation), spec, kind)


@router.post("/style", response_class=Response, responses={200: {**PICTURES, "model": Pictures}, **PROBLEMS})
async def style(
    request: Request,
    picture: UploadFile,
    label: Annotated[int | None, Query(ge=0, description="its class, if known", examples=[7])] = None,
    kind: FormatName = "png",
    model: ModelName = None,
) -> Response:
    """Write every class in the hand of a picture: one digit as PNG, JPEG or WebP, bright on dark or dark on bright."""
    state = request.app.state
    name, spec = await _model(request, model)
    pixels = await asyncio.to_thread(decode_picture, await picture.read())

    def written(hand: Inversion) -> Response:
        labels = torch.arange(spec.num_classes)
        drawn = formats.Pictures(
            state.service.render(name, hand.z, labels.tolist()), labels, torch.full_like(labels, -1)
        )
        return answer(drawn, spec, kind, model=name, read_as=spec.class_names[hand.label], error=hand.error)

    async def work() -> Response:
        return await asyncio.to_thread(written, await state.handwriting.find(name, pixels, label))

    return await while_waited_for(request, work(), state.time_limit)


async def _model(request: Request, wanted: str | None) -> tuple[str, DataSpec]:
    service: Service = request.app.state.service

    def look_up() -> tuple[str, DataSpec]:
        name = service.default_model() if wanted is None else wanted
        return name, service.spec(name)

    return await asyncio.to_thread(look_up)


async def _draw(request: Request, wish: Wish, spec: DataSpec, kind: Format) -> Response:
    state = request.app.state

    async def work() -> Response:
        images = await state.drawing.draw(wish)
        drawn = formats.Pictures(images, torch.tensor(wish.labels), torch.tensor(wish.seeds))
        if len(images) <= FEW:
            return answer(drawn, spec, kind, model=wish.model)
        return await asyncio.to_thread(answer, drawn, spec, kind, model=wish.model)

    return await while_waited_for(request, work(), state.time_limit)


def create_app(service: Service, *, places: int = 128, time_limit: float = 30.0) -> FastAPI:
    """Build the API over a service.

    Args:
        service: The core.
        places: Requests that may wait to be drawn; handwriting, which takes seconds, has an eighth of them.
        time_limit: Seconds per request.

    Raises:
        CganError: There is no place for any request.
    """
    if places < 1:
        raise CganError(f"CGAN_QUEUE={places}: expected at least one place for a request that waits")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.drawing = Drawing(service, places, app.state.monitor.batch.observe)
        app.state.handwriting = Handwriting(service, max(1, places // 8))
        with suppress(CganError):  # a server without models says so when it is asked
            await asyncio.to_thread(lambda: service.draw(service.default_model(), [0], [0]))
        worker = asyncio.create_task(app.state.drawing.work())
        yield
        worker.cancel()

    app = FastAPI(title="cgan", description="Draw digits with class-conditional GANs.", lifespan=lifespan)
    app.state.service, app.state.time_limit, app.state.monitor = service, time_limit, Monitor()
    app.include_router(router)
    app.add_middleware(BodyLimit, most=MAX_BYTES)
    app.add_middleware(Monitored, monitor=app.state.monitor)
    app.add_exception_handler(CganError, lambda _, error: _problem(422, str(error)))
    app.add_exception_handler(UnknownModelError, lambda _, error: _problem(404, str(error)))
    app.add_exception_handler(BusyError, lambda *_: _problem(429, "too many requests wait", {"Retry-After": "1"}))
    app.add_exception_handler(RequestValidationError, lambda _, error: _problem(422, _in_words(error)))
    app.add_exception_handler(
        HTTPException, lambda _, error: _problem(error.status_code, str(error.detail), error.headers)
    )
    return app


def _problem(status: int, words: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": words}, status, headers)


def _in_words(error: Any) -> str:
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"[:300]


def _from_environment() -> FastAPI:
    """Build the API as the variables say: ``CGAN_LOGS``, ``CGAN_DEVICE``, ``CGAN_QUEUE``, ``CGAN_TIME_LIMIT``."""
    environ = os.environ
    service = Service(Path(environ.get("CGAN_LOGS", "logs")), environ.get("CGAN_DEVICE", "cpu"))
    return create_app(
        service, places=int(environ.get("CGAN_QUEUE", "128")), time_limit=float(environ.get("CGAN_TIME_LIMIT", "30"))
    )


app = _from_environment()
