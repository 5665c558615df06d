"""Drawing images of requested classes, in batches."""

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.networks.base import Generator, StyleBased
from cgan.sampling.noise import latents
from cgan.sampling.styles import truncate
from cgan.spec import DataSpec, to_uint8

BATCH = 128
"""Images at a time: more are slower on a CPU, whose cache their activations leave, and take more memory."""
NEAT = 0.7
"""The truncation with which pages begin: neater images than those of 1, which still differ."""
Label = SupportsIndex | str
"""A class: its label from 0 to K - 1 (a Python, NumPy or torch integer) or its name."""


def draw(
    generator: Generator,
    labels: Label | Iterable[Label] | Tensor | np.ndarray,
    *,
    seed: int = 0,
    truncation: float = 1.0,
) -> Tensor:
    """Draw one image per requested class.

    Examples:
        >>> from cgan import draw, load_generator
        >>> draw(load_generator("pretrained"), ["7", 2]).shape
        torch.Size([2, 1, 28, 28])

    Args:
        generator: In eval mode, so that no image depends on the others of its batch.
        labels: A class or N classes, each a label or a name; the k-th occurrence of a class is its image k.
        seed: Image k of a class at a seed is always the same; from 0.
        truncation: From 0; below 1 images are neater and less varied; see ``cgan.sampling.styles.truncate``.

    Returns:
        (N, C, H, W) uint8 on the CPU; N is 1 for a single class.

    Raises:
        CganError: There is no such class, or ``seed`` or ``truncation`` is out of range; raised before any work.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise CganError(f"seed={seed}: expected a whole number from 0")
    check_truncation(truncation)
    chosen = to_labels(labels, generator)
    z = latents(chosen, generator.z_dim, int(seed))
    return render(generator, truncate(generator, z, chosen, float(truncation)), chosen)


@torch.no_grad()
def render(generator: Generator, latents: Tensor, labels: Tensor, batch_size: int = BATCH) -> Tensor:
    """Draw given latents, ``batch_size`` at a time.

    Args:
        generator: In eval mode.
        latents: (N, z_dim); or styles (N, L, W) of a style-based generator, which hold their class.
        labels: (N,).
        batch_size: Images at a time.

    Returns:
        (N, C, H, W) uint8 on the CPU.
    """
    weight = next(generator.parameters())
    return torch.cat(
        [
            to_uint8(synthesize(generator, some.to(weight), some_labels.to(weight.device))).cpu()
            for some, some_labels in zip(latents.split(batch_size), labels.split(batch_size), strict=True)
        ]
    )


def synthesize(generator: Generator, latents: Tensor, labels: Tensor) -> Tensor:
    """Draw latents (N, z_dim), or styles (N, L, W) of a style-based generator: (N, C, H, W) in [-1, 1]."""
    if latents.ndim == 3 and isinstance(generator, StyleBased):
        return generator.paint(latents)
    return generator(latents, labels)


def to_labels(classes: Any, generator: Generator) -> Tensor:
    """Convert what ``draw`` takes as ``labels`` to (N,) int64 on the CPU.

    Raises:
        CganError: A class does not exist, or is no label and no name.
    """
    numbers = range(generator.num_classes)
    spec = generator.spec or DataSpec("this generator", generator.img_shape, tuple(str(number) for number in numbers))
    classes = classes.tolist() if isinstance(classes, Tensor | np.ndarray | np.generic) else classes
    entries = classes if isinstance(classes, Iterable) and not isinstance(classes, str) else [classes]
    return torch.tensor([_to_label(entry, spec) for entry in entries], dtype=torch.int64, device="cpu")


def check_truncation(truncation: Any) -> None:
    """Refuse what is no finite number from 0.

    Raises:
        CganError: It is not.
    """
    if type(truncation) is bool or not isinstance(truncation, Real) or not 0 <= float(truncation) < math.inf:
        raise CganError(f"truncation={truncation}: expected a number from 0; 1 leaves the variety as it is")


def _to_label(entry: Any, spec: DataSpec) -> int:
    if isinstance(entry, str):
        return spec.label_of(entry)
    try:
        label = None if isinstance(entry, bool) else operator.index(entry)
    except TypeError:  # 3.7, a row of a one-hot matrix
        label = None
    if label is None or not 0 <= label < spec.num_classes:
        raise CganError(
            f"class {entry!r:.60}: expected a label from 0 to {spec.num_classes - 1} or the name of a class of "
            f"{spec.name}, such as {spec.class_names[0]!r}; one for each image"
        )
    return label
