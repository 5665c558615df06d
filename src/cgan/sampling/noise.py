"""A seed names a picture: latents that do not depend on batch, order or device."""

import numpy as np
import torch
from torch import Tensor

from cgan.seeding import numpy_stream


def latents(labels: Tensor, z_dim: int, seed: int) -> Tensor:
    """Return the latents of a list of wanted classes, (N, z_dim) float32 from N(0, 1), on the CPU.

    Picture ``k`` of class ``d`` at seed ``s`` is row ``k`` of the stream that ``(s, d)`` names: the same whatever
    other classes are asked for and however many pictures follow it.

    Args:
        labels: (N,) int64; the k-th occurrence of a class is its picture k.
        z_dim: Length of a latent.
        seed: Any integer from 0.
    """
    counts = labels.bincount().tolist()
    rows = [
        numpy_stream(seed, label).standard_normal((count, z_dim), dtype=np.float32)
        for label, count in enumerate(counts)
        if count
    ]
    z = torch.empty(len(labels), z_dim)
    if rows:
        z[labels.argsort(stable=True)] = torch.from_numpy(np.concatenate(rows))
    return z


def styles(count: int, z_dim: int, seed: int) -> Tensor:
    """Return ``count`` latents for any class, (count, z_dim): one handwriting each, those of class 0 at that seed."""
    return torch.from_numpy(numpy_stream(seed).standard_normal((count, z_dim), dtype=np.float32))


def named(labels: list[int], seeds: list[int], z_dim: int) -> Tensor:
    """Return the latent of picture 0 of each class at each seed, (N, z_dim): a picture is named by both alone."""
    rows = [
        numpy_stream(seed, label).standard_normal(z_dim, dtype=np.float32)
        for label, seed in zip(labels, seeds, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))
