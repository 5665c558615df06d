"""The routes of the HTTP API: what a request may say, and what is drawn for it."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, NamedTuple

import torch
from fastapi import APIRouter, Depends, Query, Request, Response, UploadFile
from fastapi import Path as InPath
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from torch import Tensor

from cgan.errors import CganError
from cgan.sampling.decode import MAX_BYTES, decode_image
from cgan.sampling.formats import NO_SEED, LabelledImages
from cgan.serving import responses
from cgan.serving.batching import DrawRequest
from cgan.serving.limits import within
from cgan.serving.responses import PICTURES, Format, ModelInfo, Problem
from cgan.serving.service import MAX_IMAGES, MAX_SEED, MAX_TRUNCATION, Service
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
ENCODERS = ThreadPoolExecutor(2, "encode")
FILMS = ThreadPoolExecutor(1, "film")
"""One at a time: a film of a thousand pictures takes a minute and a gigabyte, and goes on when its client has gone."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be read"},
    404: {"model": Problem, "description": "There is no such model or class"},
    408: {"model": Problem, "description": "The body has not arrived in time"},
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
SMALL = 50_000  # numbers: so few are encoded faster than a thread starts


def known_parameters(request: Request) -> None:
    """Refuse parameters that the route does not have."""
    known = _query_parameters(request.scope["route"].dependant)
    if unknown := set(request.query_params) - known:
        expected = f"expected one of {', '.join(sorted(known))}" if known else "this request takes none"
        raise HTTPException(422, f"{min(unknown)!r:.100}: no such parameter; {expected}")


def _query_parameters(dependant: Dependant) -> set[str]:
    inner = [_query_parameters(dependency) for dependency in dependant.dependencies]
    return {field.alias for field in dependant.query_params}.union(*inner)


router = APIRouter(prefix="/v1", dependencies=[Depends(known_parameters)])


class Call(NamedTuple):
    """What every request to draw has: the model that it names, and the format of its response."""

    request: Request
    kind: Format
    model: str
    spec: DataSpec
    warning: str

    @property
    def service(self) -> Service:
        """What draws."""
        return self.request.app.state.service

    def labels(self, classes: Sequence[object], *, status: int = 422) -> list[int]:
        """Return the labels of classes, those of all where none is named; an unknown one is refused with ``status``."""
        try:
            return [self.spec.label_of(entry) for entry in classes] or list(range(self.spec.num_classes))
        except CganError as error:
            raise HTTPException(status, str(error)) from error

    async def queue(self, labels: list[int], seeds: list[int], truncation: float) -> Response:
        """Draw together with other requests, and respond."""
        job = DrawRequest(self.model, labels, seeds, truncation)

        async def work() -> LabelledImages:
            images = await self.request.app.state.drawing.draw(job)
            return LabelledImages(images, torch.tensor(labels), torch.tensor(seeds))

        return await self.respond(work(), {})

    async def draw(self, labels: list[int], images: Callable[[], Tensor], seed: int = NO_SEED) -> Response:
        """Draw images of these labels, and respond."""

        def work() -> LabelledImages:
            return LabelledImages(images(), torch.tensor(labels), torch.full((len(labels),), seed))

        return await self.respond(self.request.app.state.drawing.run(work), {})

    async def respond(self, work: Coroutine[Any, Any, LabelledImages], fields: dict[str, Any]) -> Response:
        """Encode what is drawn within the time limit; ``fields``, which the work may add to, are shown in JSON."""

        async def response() -> Response:
            drawn = await work

            def encode() -> Response:
                return responses.encode(drawn, self.spec, self.kind, model=self.model, warning=self.warning, **fields)

            film = self.kind == "gif"
            if not film and drawn.images.numel() <= SMALL:
                return encode()
            return await asyncio.wrap_future((FILMS if film else ENCODERS).submit(encode))

        return await within(self.request, response(), self.request.app.state.time_limit)


async def read_call(request: Request, kind: FormatName = None, model: ModelName = None) -> Call:
    """Look the model up, and choose a format."""
    service: Service = request.app.state.service

    def find() -> tuple[str, DataSpec, str]:
        name = service.default_model() if model is None else model
        return name, service.spec(name), service.model(name).warning

    chosen = responses.choose(kind, request.headers.get("accept", ""))
    return Call(request, chosen, *await asyncio.to_thread(find))


TheCall = Annotated[Call, Depends(read_call)]


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


@router.get("/classes/{name:path}", summary="Draw a class, n times", **DRAWN)
async def draw_class(
    call: TheCall,
    name: InPathClass,
    n: Annotated[int, Query(ge=1, le=MAX_IMAGES, description="how many; picture i has seed + i", examples=[5])] = 1,
    seed: Annotated[int, Query(ge=0, le=MAX_SEED - MAX_IMAGES)] = 0,
    truncation: Truncation = 1.0,
) -> Response:
    """A class and a seed name a picture: the same request gives the same picture."""
    return await call.queue(call.labels([name], status=404) * n, list(range(seed, seed + n)), truncation)


@router.post("/samples", summary="Draw any classes with any seeds", **DRAWN)
async def draw_samples(request: Request, body: Samples, kind: FormatName = None) -> Response:
    """Picture i has class i and seed i; together they name it."""
    call = await read_call(request, kind, body.model)
    seeds = list(range(len(body.classes))) if body.seeds is None else body.seeds
    return await call.queue(call.labels(body.classes), seeds, body.truncation)


@router.get("/styles/{seed}", summary="Draw classes in one style, such as the digits of a number", **DRAWN)
async def draw_style(
    call: TheCall,
    seed: Annotated[int, InPath(ge=0, le=MAX_SEED)],
    classes: Classes = (),
    truncation: Truncation = 1.0,
) -> Response:
    """The seed names one latent, with which every class is drawn."""
    service, labels = call.service, call.labels(classes)

    def images() -> Tensor:
        return service.render(call.model, service.style(call.model, seed), labels, truncation)

    return await call.draw(labels, images, seed)


@router.post("/styles", summary="Draw every class in the style of a picture", **DRAWN)
async def draw_given_style(
    call: TheCall,
    picture: UploadFile,
    label: Annotated[Class | None, Query(alias="class", description=f"{CLASS}, if known")] = None,
) -> Response:
    """A PNG, JPEG or WebP: for grey models one digit, bright on dark or dark on bright; else a picture in colour."""
    known, labels = None if label is None else call.labels([label])[0], call.labels([])
    if len(labels) > MAX_IMAGES:
        raise HTTPException(422, f"expected a model of at most {MAX_IMAGES} classes, {call.model} has {len(labels)}")
    pixels = await asyncio.to_thread(decode_image, await picture.read(), call.spec.img_shape)
    fields: dict[str, Any] = {}

    async def work() -> LabelledImages:
        found = await call.request.app.state.inversion.invert(call.model, pixels, known)
        fields.update(read_as=call.spec.class_names[found.label], error=found.error)
        images = await call.request.app.state.drawing.run(call.service.like, call.model, found, labels)
        return LabelledImages(images, torch.tensor(labels), torch.full((len(labels),), NO_SEED))

    return await call.respond(work(), fields)


@router.get("/mixes", summary="Draw classes in a mix of two styles, with a style-based generator", **DRAWN)
async def draw_mix(
    call: TheCall,
    coarse: Seed,
    fine: Seed,
    classes: Classes = (),
    crossover: Annotated[int | None, Query(ge=1, le=MAX_LAYERS, description="first fine layer; default: half")] = None,
    truncation: Truncation = 1.0,
) -> Response:
    """The coarse layers are those of one style and the fine layers those of another; seeds as in /v1/styles/{seed}."""
    service, labels = call.service, call.labels(classes)

    def images() -> Tensor:
        styles = service.style(call.model, coarse), service.style(call.model, fine)
        return service.mix(call.model, styles, labels, crossover, truncation)

    return await call.draw(labels, images)


@router.get("/morphs", summary="Draw the frames from one picture to another", **DRAWN)
async def draw_morph(
    call: TheCall,
    start: Class,
    end: Class,
    start_seed: Seed = 0,
    end_seed: Seed = 0,
    frames: Annotated[int, Query(ge=2, le=MAX_IMAGES, description="pictures, both ends included")] = 16,
    truncation: Truncation = 1.0,
) -> Response:
    """With format=gif they are an animation, there and back."""
    first, last = call.labels([start, end])
    labels = [first if 2 * frame < frames else last for frame in range(frames)]
    seeds = start_seed, end_seed
    return await call.draw(labels, lambda: call.service.morph(call.model, (first, last), seeds, frames, truncation))
