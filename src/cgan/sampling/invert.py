"""GAN inversion: from a picture to the latent that draws it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cgan.errors import CganError
from cgan.networks.base import Generator, StyleBased
from cgan.sampling.draw import render, synthesize
from cgan.sampling.styles import to_styles, truncate
from cgan.seeding import torch_stream
from cgan.spec import to_float

STEPS = 150
_GUESSES, _RESTARTS, _STARTS, _KEPT = 200, 4, 40, 6
_PRIOR = 0.01
_NEAR = 0.05  # styles that went far suit no other class
_FAINT = 32

Progress = Callable[[float], None]
"""Called with the share of the steps done, from 0 to 1."""


class Inversion(NamedTuple):
    """What was found."""

    z: Tensor  # (z_dim,) the latent
    label: int  # the class it was found under
    target: Tensor  # (C, H, W) uint8, the image that was searched for
    reconstruction: Tensor  # (C, H, W) uint8, what the generator draws from both
    error: float  # mean squared difference of target and reconstruction, pixels in [0, 1]
    shift: Tensor | None = None  # (L, W), added to the styles of latent and class; None for a generator without styles


def centre(image: np.ndarray, size: int = 28) -> Tensor:
    """Bring a written digit into MNIST's form (LeCun et al. 1998): bright ink on black, boxed, centred.

    It is scaled to fit a box of 20/28 of the side, and its centre of mass lies in the middle. A digit of MNIST
    hardly changes.

    Args:
        image: (H, W) uint8, bright on dark or dark on bright; the border's median is taken as the background.
        size: Side of the result.

    Returns:
        (size, size) uint8.

    Raises:
        CganError: There is no ink.
    """
    ink = _ink(image)
    rows, columns = np.nonzero(ink > _FAINT)
    cut = Image.fromarray(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
    scale = round(size * 20 / 28) / max(cut.size)
    scaled = max(1, round(cut.width * scale)), max(1, round(cut.height * scale))
    digit = np.asarray(cut.resize(scaled, Image.Resampling.BICUBIC), dtype=np.float64)
    if not digit.any():
        raise CganError("the picture is nearly empty: expected one digit with strokes that can be seen in small")
    top, left = (
        int(np.clip(round(size / 2 - (np.arange(length) @ digit.sum(1 - axis)) / digit.sum()), 0, size - length))
        for axis, length in enumerate(digit.shape)
    )
    result = np.zeros((size, size), np.uint8)
    result[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return torch.from_numpy(result)


def target_of(generator: Generator, image: np.ndarray) -> Tensor:
    """Bring a decoded picture into the form that a generator draws: (C, H, W) uint8.

    Args:
        generator: Of any size and channels.
        image: uint8; a written digit in grey, (H, W), see :func:`centre`, or a picture in colour, (C, H, W), as it is.

    Raises:
        CganError: There is no ink, or the generator's images are grey and not square.
    """
    if image.ndim == 3:
        return torch.from_numpy(image)
    _, height, width = generator.img_shape
    if height != width:
        raise CganError(f"expected a generator of square images, this one draws {height}x{width}")
    return centre(image, height).unsqueeze(0)


def _ink(image: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the background, in the ink's direction, stretched to 0..255."""
    background = np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))
    difference = image.astype(np.float32) - background
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
    """Search for the latent, and the class if none is given, whose image is nearest to ``target``.

    For each class the best 4 of 200 random latents start, 40 at most in all. Adam lowers the mean squared error of the
    pixels plus a small multiple of ``|z|^2``, which keeps the latent where the generator has learned to draw; after a
    quarter of the steps only the best 6 go on. For a style-based generator those of the best class go on as styles
    after half of the steps, with the distance to where they started in place of ``|z|^2`` (Abdal et al. 2019 search
    there too).

    Args:
        generator: In eval mode.
        target: (C, H, W) uint8, in the form that the generator draws; see ``centre``.
        label: The class, if known.
        steps: Steps of Adam.
        progress: Called after every step.
    """
    weight = next(generator.parameters())
    search = _Search(generator, to_float(target).to(weight), progress, steps)
    z, labels = _starts(search, target, range(generator.num_classes) if label is None else [label])
    labels = labels.to(weight.device)
    z, order = search.descend(z.to(weight), labels, steps // 4)
    z, labels = z[:_KEPT], labels[order[:_KEPT]]
    of_z = steps // 4 if isinstance(generator, StyleBased) else steps - steps // 4
    latents, order = search.descend(z, labels, of_z)
    z, labels, shift = latents, labels[order], None
    if isinstance(generator, StyleBased):
        z = z[labels == labels[0]]  # settled here: styles could draw any digit under any class
        labels = labels[: len(z)].fill_(labels[0])
        pivot = to_styles(generator, z, labels)
        latents, order = search.descend(pivot, labels, steps - steps // 4 - of_z, pivot)
        z, shift = z[order], (latents[0] - pivot[order[0]]).cpu()
    drawn = render(generator, latents[:1], labels[:1])[0]
    error = float((drawn.float() - target.float()).div(255).square().mean())
    return Inversion(z[0].cpu(), int(labels[0]), target, drawn, error, shift)


def like(generator: Generator, found: Inversion, labels: Tensor) -> Tensor:
    """Return latents that draw classes (N,) in the style of what was found; see ``cgan.sampling.draw.render``."""
    latents = truncate(generator, found.z.expand(len(labels), -1), labels, 1.0)
    return latents if found.shift is None else latents + found.shift.to(latents)


class _Search:
    """Gradient descent on many latents, or styles, at once."""

    def __init__(self, generator: Generator, target: Tensor, progress: Progress | None, steps: int) -> None:
        self.generator, self.target = generator, target
        self.progress, self.steps, self.done = progress, steps, 0

    def report(self) -> None:
        """Say how far it is; the caller may end the search by raising an error."""
        if self.progress:
            self.progress(self.done / self.steps)

    def losses(self, latents: Tensor, labels: Tensor, home: Tensor | None) -> Tensor:
        """Return the loss of each latent: (N,)."""
        errors = (synthesize(self.generator, latents, labels) - self.target).square().mean((1, 2, 3))
        prior = _PRIOR * latents.square().mean(1) if home is None else _NEAR * (latents - home).square().mean((1, 2))
        return errors + prior

    def descend(self, latents: Tensor, labels: Tensor, steps: int, home: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take ``steps`` steps of Adam; return the latents, the best first, and their former places.

        They stay near ``home``, or near 0.
        """
        latents = latents.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([latents], lr=0.1)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for _ in range(steps):
            optimizer.zero_grad()
            self.losses(latents, labels, home).sum().backward()
            optimizer.step()
            schedule.step()
            self.done += 1
            self.report()
        with torch.no_grad():
            order = self.losses(latents, labels, home).argsort()
        return latents.detach()[order], order


def _starts(search: _Search, target: Tensor, classes: range | list[int]) -> tuple[Tensor, Tensor]:
    """Return the best guesses of each class, and their classes; of very many classes the best of all."""
    size = search.generator.z_dim
    guesses = torch.randn(_GUESSES, size, generator=torch_stream(0), dtype=torch.float32, device="cpu")
    z, errors = [], []
    for label in classes:
        search.report()
        drawn = render(search.generator, guesses, torch.full((_GUESSES,), label, device="cpu"))
        found = (drawn.float() - target.float()).square().mean((1, 2, 3)).sort()
        z.append(guesses[found.indices[:_RESTARTS]])
        errors.append(found.values[:_RESTARTS])
    labels = torch.tensor(classes, device="cpu").repeat_interleave(_RESTARTS)
    best = torch.cat(errors).argsort()[:_STARTS].sort().values
    return torch.cat(z)[best], labels[best]
