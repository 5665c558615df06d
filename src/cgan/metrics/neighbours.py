"""Nearest neighbours by exhaustive search, in parts of about 100 MB of distances."""

from typing import NamedTuple

import torch
from torch import Tensor

PART_BYTES = 100_000_000


class Nearest(NamedTuple):
    """The nearest keys of each query, nearest first.

    Attributes:
        distances: (N, k) float32, Euclidean.
        places: (N, k) int64, positions among the keys.
    """

    distances: Tensor
    places: Tensor


def nearest(queries: Tensor, keys: Tensor, k: int = 1, *, same: bool = False) -> Nearest:
    """Find the ``k`` nearest of ``keys`` (M, D) for each of ``queries`` (N, D).

    Args:
        queries: Float points.
        keys: Float points.
        k: How many neighbours.
        same: Queries are the keys: a point is no neighbour of itself.
    """
    rows = max(PART_BYTES // (4 * len(keys)), 1)
    found = []
    for start in range(0, len(queries), rows):
        distances = torch.cdist(queries[start : start + rows], keys)
        if same:
            distances.diagonal(offset=start).fill_(torch.inf)
        found.append(distances.topk(k, largest=False))
    return Nearest(*(torch.cat(column) for column in zip(*found, strict=True)))


def pixels(images: Tensor) -> Tensor:
    """Turn (N, C, H, W) uint8 into points (N, C * H * W) float32 in [0, 1]."""
    return images.flatten(1).float().div_(255)
