"""Sheets of pictures that explain a value: samples, best and worst, nearest training images, interpolations."""

import io

import torch
from PIL import Image
from torch import Tensor

from cgan.metrics.labels import confidence
from cgan.metrics.looks import Look
from cgan.metrics.neighbours import nearest, pixels
from cgan.networks.base import Generator
from cgan.sampling.draw import render
from cgan.sampling.grids import image_grid
from cgan.sampling.interpolate import morph
from cgan.sampling.noise import fixed_latents


def style_sheet(generator: Generator, class_names: list[str], *, rows: int, seed: int) -> Image.Image:
    """A row per handwriting, a column per class: the same latents for every generator with this ``z_dim``."""
    classes = len(class_names)
    z = fixed_latents(rows, generator.z_dim, seed).repeat_interleave(classes, dim=0)
    return image_grid(render(generator, z, torch.arange(classes).repeat(rows)), classes, column_names=class_names)


def first_sheet(looked: Look, class_names: list[str], *, rows: int) -> Image.Image:
    """The first pictures of each class, a column per class; a class with fewer leaves white cells."""
    cells = torch.full((rows, len(class_names), *looked.images.shape[1:]), 255, dtype=torch.uint8)
    for label in range(len(class_names)):
        first = looked.images[looked.labels == label][:rows]
        cells[: len(first), label] = first
    return image_grid(cells.flatten(0, 1), len(class_names), column_names=class_names)


def extremes_sheet(looked: Look, class_names: list[str], *, each: int = 8) -> Image.Image:
    """Per class, the samples that the classifier is surest show it, and those where it is least sure."""
    sure = confidence(looked)
    shown = []
    for label in range(len(class_names)):
        places = (looked.labels == label).nonzero().squeeze(1)
        order = places[sure[places].argsort(descending=True, stable=True)]
        shown += [_filled(looked.images[order[:each]], each), _filled(looked.images[order[-each:]], each)]
    names = [*_title("best", each), *_title("worst", each)]
    return image_grid(torch.cat(shown), 2 * each, column_names=names, row_names=class_names)


def neighbours_sheet(looked: Look, reference: Look, class_names: list[str], *, per_class: int = 2) -> Image.Image:
    """The first samples of each class, each followed by its six nearest training images in pixels."""
    chosen = torch.cat([(looked.labels == label).nonzero().squeeze(1)[:per_class] for label in range(len(class_names))])
    found = nearest(pixels(looked.images[chosen]), pixels(reference.images), k=6).places
    rows = torch.cat([looked.images[chosen][:, None], reference.images[found]], dim=1)
    names = ["sample", *_title("nearest", 6)]
    row_names = [class_names[label] for label in looked.labels[chosen].tolist()]
    return image_grid(rows.flatten(0, 1), 7, column_names=names, row_names=row_names)


def interpolation_sheet(generator: Generator, class_names: list[str], *, seed: int, frames: int = 11) -> Image.Image:
    """Each class into the next one with one handwriting; then one handwriting into another within each class."""
    here, there = fixed_latents(2, generator.z_dim, seed)
    labels = range(len(class_names))
    between = [morph(generator, (here, here), (label, (label + 1) % len(labels)), frames) for label in labels]
    within = [morph(generator, (here, there), (label, label), frames) for label in labels]
    names = [f"{name} to {class_names[(label + 1) % len(labels)]}" for label, name in enumerate(class_names)]
    names += [f"{name}, latents" for name in class_names]
    return image_grid(torch.cat([*between, *within]), frames, row_names=names)


def to_png(sheet: Image.Image) -> bytes:
    """Return a sheet as PNG."""
    out = io.BytesIO()
    sheet.save(out, format="PNG")
    return out.getvalue()


def _filled(images: Tensor, count: int) -> Tensor:
    blank = torch.full((count - len(images), *images.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([images, blank])


def _title(word: str, columns: int) -> list[str]:
    return [word if place == columns // 2 else "" for place in range(columns)]
