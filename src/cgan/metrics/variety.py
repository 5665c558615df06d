"""Variety and honesty: is there as much in a class as in reality, and is it drawn, not copied?"""

import torch
from torch import Tensor

from cgan.metrics.looks import Look
from cgan.metrics.neighbours import nearest, pixels

TAIL = 0.01
"""Distances below this quantile of real images' distances count as suspiciously near; so the floor is about 1 %."""


def variance_ratio(samples: Look, reference: Look) -> dict[str, float]:
    """Variance of the features within a class over that of the reference: mean over classes, and the least one."""
    ratios = torch.stack(
        [
            samples.of_class(label).features.double().var(0).sum()
            / reference.of_class(label).features.double().var(0).sum()
            for label in reference.labels.unique().tolist()
        ]
    )
    return {"variance_ratio": float(ratios.mean()), "variance_ratio_least": float(ratios.min())}


def near_duplicates(samples: Look, reference: Look) -> dict[str, float]:
    """Share of samples with another sample nearer than 99 % of equally many reference images have one, in pixels."""
    real = pixels(reference.spread(len(samples.labels)).images)
    limit = nearest(real, real, same=True).distances.quantile(TAIL)
    drawn = pixels(samples.images)
    return {"near_duplicates": _share(nearest(drawn, drawn, same=True).distances < limit)}


def memorised(samples: Look, reference: Look, limit: float) -> dict[str, float]:
    """Share of samples whose nearest reference image is nearer than ``limit``; see :func:`copy_limit`."""
    return {"memorised": _share(_to_nearest(samples, reference) < limit)}


def copy_limit(test: Look, reference: Look) -> float:
    """Return the distance, in pixels, that 99 % of the test images keep to their nearest reference image."""
    return float(_to_nearest(test, reference).quantile(TAIL))


def exact_copies(samples: Look, reference: Look) -> dict[str, float]:
    """Share of samples that equal a reference image in every pixel."""
    known = {image.tobytes() for image in reference.images.numpy()}
    return {"exact_copies": sum(image.tobytes() in known for image in samples.images.numpy()) / len(samples.labels)}


def _to_nearest(looked: Look, reference: Look) -> Tensor:
    return nearest(pixels(looked.images), pixels(reference.images)).distances


def _share(hits: Tensor) -> float:
    return float(hits.double().mean())
