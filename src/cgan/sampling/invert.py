"""From a written digit back to the latent that writes like it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cgan.errors import CganError
from cgan.networks.base import Generator
from cgan.sampling.draw import render
from cgan.seeding import torch_stream
from cgan.spec import to_float, to_uint8

STEPS = 150
_GUESSES, _RESTARTS = 200, 4
_PRIOR = 0.01
_FAINT = 32

Progress = Callable[[float], None]
"""Told the share done, from 0 to 1."""


class Inversion(NamedTuple):
    """What was found.

    Attributes:
        z: (z_dim,) the latent.
        label: The class it was found under.
        target: (C, H, W) uint8, the picture that was searched for.
        reconstruction: (C, H, W) uint8, what the generator draws from both.
        error: Mean squared difference of both pictures, pixels in [0, 1].
    """

    z: Tensor
    label: int
    target: Tensor
    reconstruction: Tensor
    error: float


def centre(picture: np.ndarray, size: int = 28) -> Tensor:
    """Bring a written digit into MNIST's form (LeCun et al. 1998): bright ink on black, boxed, centred.

    It is scaled to fit a box of 20/28 of the side, and its centre of mass lies in the middle. A digit of MNIST stays
    as it is, but for its faintest rim.

    Args:
        picture: (H, W) uint8, bright on dark or dark on bright; the border's median is taken as the background.
        size: Side of the result.

    Returns:
        (size, size) uint8.

    Raises:
        CganError: There is no ink.
    """
    ink = _ink(picture)
    rows, columns = np.nonzero(ink > _FAINT)
    cut = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = round(size * 20 / 28) / max(cut.size)
    scaled = max(1, round(cut.width * scale)), max(1, round(cut.height * scale))
    digit = np.asarray(cut.resize(scaled, Image.Resampling.BICUBIC), dtype=np.float64)
    top, left = (
        int(np.clip(round(size / 2 - (np.arange(length) @ digit.sum(1 - axis)) / digit.sum()), 0, size - length))
        for axis, length in enumerate(digit.shape)
    )
    result = np.zeros((size, size), np.uint8)
    result[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return torch.from_numpy(result)


def _ink(picture: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the background, in the ink's direction, stretched to 0..255."""
    background = np.median(np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]]))
    difference = picture.astype(np.float32) - background
    ink = np.clip(difference if difference.max() > -difference.min() else -difference, 0, None)
    if ink.max() <= _FAINT:
        raise CganError("the picture is empty: expected a digit, bright on dark or dark on bright")
    return (ink * (255 / ink.max())).round().astype(np.uint8)


def invert(
    generator: Generator,
    target: Tensor,
    label: int | None = None,
    *,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> Inversion:
    """Search the latent, and the class if none is given, whose picture is nearest to ``target``.

    For each class the best of 200 random latents start; Adam then lowers the mean squared error of the pixels plus a
    small multiple of ``|z|^2``, which keeps the latent where the generator has learned to draw.

    Args:
        generator: In eval mode.
        target: (C, H, W) uint8, in the form that the generator draws; see :func:`centre`.
        label: The class, if known.
        steps: Steps of Adam.
        progress: Called after every step.
    """
    device = next(generator.parameters()).device
    wanted = to_float(target).to(device)
    z, labels = _starts(generator, target, range(generator.num_classes) if label is None else [label])
    z, labels = z.to(device).requires_grad_(True), labels.to(device)
    optimizer = torch.optim.Adam([z], lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        loss = _errors(generator, z, labels, wanted) + _PRIOR * z.square().mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        schedule.step()
        if progress:
            progress((step + 1) / steps)
    with torch.no_grad():
        best = int((_errors(generator, z, labels, wanted) + _PRIOR * z.square().mean(1)).argmin())
        found = z[best : best + 1].detach()
        drawn = to_uint8(generator(found, labels[best : best + 1]))[0].cpu()
    error = float((drawn.float() - target.float()).div(255).square().mean())
    return Inversion(found[0].cpu(), int(labels[best]), target, drawn, error)


def _starts(generator: Generator, target: Tensor, classes: range | list[int]) -> tuple[Tensor, Tensor]:
    guesses = torch.randn(_GUESSES, generator.z_dim, generator=torch_stream(0))
    z, labels = [], []
    for label in classes:
        drawn = render(generator, guesses, torch.full((_GUESSES,), label))
        errors = (drawn.float() - target.float()).square().mean((1, 2, 3))
        z.append(guesses[errors.argsort()[:_RESTARTS]])
        labels.append(torch.full((_RESTARTS,), label))
    return torch.cat(z), torch.cat(labels)


def _errors(generator: Generator, z: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    return (generator(z, labels) - wanted).square().mean((1, 2, 3))
