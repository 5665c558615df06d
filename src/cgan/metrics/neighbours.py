"""Nearest neighbours by exhaustive search, in parts of about 60 MB, so that memory does not grow with the sets."""

from typing import NamedTuple

import torch
from torch import Tensor

PART_BYTES = 60_000_000


class Nearest(NamedTuple):
    """The nearest keys of each query, nearest first."""

    distances: Tensor  # (N, k) float32, Euclidean
    places: Tensor  # (N, k) int64, positions among the keys


def nearest(queries: Tensor, keys: Tensor, k: int = 1, *, same: bool = False) -> Nearest:
    """Find the ``k`` nearest of ``keys`` (M, ...) for each of ``queries`` (N, ...).

    Args:
        queries: Points (N, D) float, or images (N, C, H, W) uint8, whose pixels in [0, 1] are the coordinates.
        keys: Of the same kind.
        k: How many neighbours; at most M.
        same: Queries are the keys: a point is no neighbour of itself.
    """
    size = 4 * keys[0].numel()
    columns = min(max(PART_BYTES // size, k), len(keys))
    rows = max(PART_BYTES // max(size, 4 * columns), 1)
    found = [
        _nearest_of(queries[start : start + rows], start if same else None, keys, k, columns)
        for start in range(0, len(queries), rows)
    ]
    return Nearest(*(torch.cat(column) for column in zip(*found, strict=True)))


def _nearest_of(queries: Tensor, own_place: int | None, keys: Tensor, k: int, columns: int) -> Nearest:
    """Search all keys, ``columns`` at a time; queries that are keys begin at ``own_place`` among them."""
    points = _points(queries)
    best = Nearest(torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long))
    for start in range(0, len(keys), columns):
        distances = torch.cdist(points, _points(keys[start : start + columns]))
        if own_place is not None:
            distances.diagonal(offset=own_place - start).fill_(torch.inf)
        part = distances.topk(min(k, distances.shape[1]), largest=False)
        joined = torch.cat([best.distances, part.values], 1), torch.cat([best.places, part.indices + start], 1)
        least = joined[0].topk(min(k, joined[0].shape[1]), largest=False)
        best = Nearest(least.values, joined[1].gather(1, least.indices))
    return best


def _points(some: Tensor) -> Tensor:
    return some.flatten(1).float().div_(255) if some.dtype == torch.uint8 else some
