"""Latents that follow from seed and class, whatever the batch, its order and the device."""

import numpy as np
import torch
from torch import Tensor

from cgan.seeding import numpy_stream


def latents(labels: Tensor, z_dim: int, seed: int) -> Tensor:
    """Return the latents of the requested classes: (N, z_dim) float32 from N(0, 1), on the CPU.

    The latent of image ``k`` of class ``d`` at seed ``s`` is row ``k`` of the random stream ``(s, d)``. It depends
    neither on the other requested classes nor on the number of images.

    Args:
        labels: (N,) int64; the k-th occurrence of a class is its image k.
        z_dim: Length of a latent.
        seed: Any integer from 0.
    """
    counts = labels.bincount().tolist()
    rows = [
        numpy_stream(seed, label).standard_normal((count, z_dim), dtype=np.float32)
        for label, count in enumerate(counts)
        if count
    ]
    z = torch.empty(len(labels), z_dim, dtype=torch.float32, device="cpu")
    if rows:
        z[labels.argsort(stable=True)] = torch.from_numpy(np.concatenate(rows))
    return z


def fixed_latents(count: int, z_dim: int, seed: int) -> Tensor:
    """Return latents to use with every class, (count, z_dim) float32 on the CPU: those of class 0 at that seed."""
    return torch.from_numpy(numpy_stream(seed).standard_normal((count, z_dim), dtype=np.float32))


def latents_by_seed(labels: list[int], seeds: list[int], z_dim: int) -> Tensor:
    """Return the latents of image 0 of each class, each at its own seed: (N, z_dim) float32 on the CPU."""
    rows = [
        numpy_stream(seed, label).standard_normal(z_dim, dtype=np.float32)
        for label, seed in zip(labels, seeds, strict=True)
    ]
    return torch.from_numpy(np.stack(rows))
