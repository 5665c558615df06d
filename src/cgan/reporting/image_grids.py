"""Image grids that explain a value: samples, best and worst, nearest training images, interpolations."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from cgan.metrics.features import Features
from cgan.metrics.labels import confidence
from cgan.metrics.neighbours import nearest
from cgan.networks.base import Generator
from cgan.sampling.draw import render
from cgan.sampling.grids import image_grid
from cgan.sampling.interpolate import morph
from cgan.sampling.noise import fixed_latents
from cgan.sampling.styles import truncate


def style_grid(
    generator: Generator, classes: Mapping[int, str], *, rows: int, seed: int, truncation: float
) -> Image.Image:
    """A row per latent, a column per class: the same latents for every generator with this ``z_dim``."""
    z = fixed_latents(rows, generator.z_dim, seed).repeat_interleave(len(classes), dim=0)
    labels = torch.tensor(list(classes)).repeat(rows)
    images = render(generator, truncate(generator, z, labels, truncation), labels)
    return image_grid(images, len(classes), column_names=list(classes.values()))


def class_grid(samples: Features, classes: Mapping[int, str], *, rows: int) -> Image.Image:
    """The first images of each class, a column per class; a class with fewer leaves white cells."""
    cells = torch.full((rows, len(classes), *samples.images.shape[1:]), 255, dtype=torch.uint8)
    for column, label in enumerate(classes):
        first = samples.images[samples.labels == label][:rows]
        cells[: len(first), column] = first
    return image_grid(cells.flatten(0, 1), len(classes), column_names=list(classes.values()))


def extremes_grid(samples: Features, classes: Mapping[int, str]) -> Image.Image:
    """Per class, the samples whose class the classifier is most certain of, and those where it is least certain."""
    each = 8
    certainty = confidence(samples)
    shown = []
    for label in classes:
        places = (samples.labels == label).nonzero().squeeze(1)
        order = places[certainty[places].argsort(descending=True, stable=True)]
        shown += [_filled(samples.images[order[:each]], each), _filled(samples.images[order[-each:]], each)]
    names = [*_title("best", each), *_title("worst", each)]
    return image_grid(torch.cat(shown), 2 * each, column_names=names, row_names=list(classes.values()))


def neighbours_grid(
    samples: Features, train: Features, classes: Mapping[int, str], *, per_class: int = 2
) -> Image.Image:
    """The first samples of each class, each followed by its six nearest training images in pixels, or by all."""
    chosen = torch.cat([(samples.labels == label).nonzero().squeeze(1)[:per_class] for label in classes])
    k = min(6, len(train.labels))
    found = nearest(samples.images[chosen], train.images, k=k).places
    rows = torch.cat([samples.images[chosen][:, None], train.images[found]], dim=1)
    names = ["sample", *_title("nearest", k)]
    row_names = [classes[label] for label in samples.labels[chosen].tolist()]
    return image_grid(rows.flatten(0, 1), 1 + k, column_names=names, row_names=row_names)


def interpolation_grid(
    generator: Generator, classes: Mapping[int, str], *, seed: int, truncation: float, frames: int = 11
) -> Image.Image:
    """Each class into the next one with one latent; then one latent into another within each class."""
    here, there = fixed_latents(2, generator.z_dim, seed)
    labels = list(classes)
    steps = list(zip(labels, labels[1:] + labels[:1], strict=True))
    between = [morph(generator, (here, here), step, frames, truncation) for step in steps]
    within = [morph(generator, (here, there), (label, label), frames, truncation) for label in labels]
    names = [f"{classes[start]} to {classes[end]}" for start, end in steps]
    names += [f"{name}, latents" for name in classes.values()]
    return image_grid(torch.cat([*between, *within]), frames, row_names=names)


def _filled(images: Tensor, count: int) -> Tensor:
    blank = torch.full((count - len(images), *images.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([images, blank])


def _title(word: str, columns: int) -> list[str]:
    return [word if place == columns // 2 else "" for place in range(columns)]
