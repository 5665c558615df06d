"""Responses of the API, as its OpenAPI document shows them."""

import base64
from typing import Any, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from cgan.sampling import formats
from cgan.sampling.grids import image_grid
from cgan.spec import DataSpec

Format = Literal["png", "npz", "zip", "gif", "json"]
MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "npz": "application/x-npz",
    "zip": "application/zip",
    "gif": "image/gif",
    "json": "application/json",
}


WARNING = "why the model's pictures may be poor; empty: nothing is known against it"


class Problem(BaseModel):
    """An error message."""

    error: str = Field(examples=["class 12: this model knows the classes 0 to 9"])


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok"]


class ValueInfo(BaseModel):
    """A measured number of a model."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["fid"])
    title: str = Field(examples=["Fréchet distance"])
    sentence: str = Field(description="what it says", examples=["How far generated images are from real ones."])
    advice: str = Field(description="what is good", examples=["lower is better"])
    value: float = Field(examples=[0.51])
    real: float | None = Field(description="of held-out real images", examples=[0.05])


class ModelInfo(BaseModel):
    """A generator of the listing."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["pretrained/light"])
    title: str = Field(description="for people", examples=["light_wide on MNIST, 150 epochs"])
    warning: str = Field(description=WARNING, examples=[""])
    origin: str = Field(examples=["pretrained generator"])
    network: str = Field(examples=["LightGenerator"])
    data: str = Field(examples=["mnist"])
    classes: list[str] = Field(examples=[list("0123456789")])
    img_shape: list[int] = Field(description="(C, H, W)", examples=[[1, 28, 28]])
    values: list[ValueInfo]
    style_layers: int = Field(description="layers that /v1/mixes can mix; 0: it has no styles", examples=[0])
    error: str | None = Field(description="why it cannot be used", examples=[None])


class Picture(BaseModel):
    """One picture."""

    label: int = Field(examples=[7])
    class_name: str = Field(examples=["7"])
    seed: int | None = Field(description="names the picture with its class; null for a picture's style", examples=[0])
    png: str = Field(description="a PNG file in base64", examples=["iVBORw0KGgo="])


class Pictures(BaseModel):
    """Pictures as JSON (``format=json``)."""

    model: str = Field(examples=["pretrained/light"])
    warning: str = Field(description=WARNING, examples=[""])
    read_as: str | None = Field(default=None, description="the class found for the picture that was sent")
    error: float | None = Field(default=None, description="mean squared difference to that picture, pixels 0 to 1")
    images: list[Picture]


PICTURES: dict[str, Any] = {
    "description": "The pictures; as PNG one in its own size, or several in a grid",
    "content": {
        kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values() if "json" not in kind
    },
}


def choose(requested: Format | None, accept: str) -> Format:
    """Return the requested format, else the first that an Accept header names (its weights are ignored), else PNG."""
    accepted = [entry.partition(";")[0].strip() for entry in accept.split(",")]
    known: list[Format] = [
        kind for entry in accepted for kind, media_type in MEDIA_TYPES.items() if media_type == entry
    ]
    return requested or (known[0] if known else "png")


def encode(pictures: formats.LabelledImages, spec: DataSpec, kind: Format, **fields: Any) -> Response:
    """Encode pictures in the requested format; a negative seed stands for none, ``fields`` are more fields for JSON."""
    if kind == "json":
        images = [
            Picture(
                label=label,
                class_name=spec.class_names[label],
                seed=seed if seed >= 0 else None,
                png=base64.b64encode(formats.png(image)).decode(),
            )
            for image, label, seed in zip(*(pictures.images, *(c.tolist() for c in pictures[1:])), strict=True)
        ]
        return Response(Pictures(images=images, **fields).model_dump_json(), media_type="application/json")
    if kind == "npz":
        content = formats.npz(pictures)
    elif kind == "zip":
        content = formats.zip_archive(pictures, spec.class_names)
    elif kind == "gif":
        content = formats.gif(pictures.images)
    elif len(pictures.images) == 1:
        content = formats.png(pictures.images[0])
    else:
        content = formats.png(image_grid(pictures.images, columns=min(10, len(pictures.images))))
    headers = {} if kind in ("png", "gif") else {"Content-Disposition": f'attachment; filename="pictures.{kind}"'}
    return Response(content, media_type=MEDIA_TYPES[kind], headers=headers)
