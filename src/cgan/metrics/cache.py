"""Looks at real images, kept between runs: one file per extractor's weights and data."""

import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cgan.errors import CganError
from cgan.files import write_file
from cgan.metrics.base import Extractor
from cgan.metrics.looks import Look, look

log = logging.getLogger(__name__)
FORMAT = 1


def cached_look(extractor: Extractor, images: Tensor, labels: Tensor) -> Look:
    """Look at real images, or remember what was seen; see :func:`cgan.metrics.looks.look`."""
    path = look_path(extractor, images)
    seen = recall(path, images, labels)
    if seen is None:
        seen = look(extractor, images, labels)
        remember(path, seen)
    return seen


def look_path(extractor: Extractor, images: Tensor) -> Path:
    """Return the file for these weights, this kind of device (its rounding differs) and these (N, C, H, W) images."""
    state = extractor.state_dict()
    seen_by = _hash(state[name] for name in sorted(state))
    device = next(extractor.parameters()).device.type
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "cgan" / f"look{FORMAT}_{extractor.name}_{device}_{seen_by}_{_hash([images])}.safetensors"


def recall(path: Path, images: Tensor, labels: Tensor) -> Look | None:
    """Return the look in a file, None where there is none or the file is damaged."""
    try:
        seen = load(path.read_bytes())
        features, logits = seen["features"], seen["logits"]
    except (OSError, SafetensorError, KeyError):
        return None
    sound = features.ndim == logits.ndim == 2 and len(features) == len(logits) == len(images)
    return Look(labels, features, logits, images) if sound and bool(features.isfinite().all()) else None


def remember(path: Path, seen: Look) -> None:
    """Keep a look; a place that cannot be written costs time the next time and nothing else."""
    try:
        write_file(path, save({"features": seen.features.contiguous(), "logits": seen.logits.contiguous()}))
    except CganError as error:
        log.info("Not kept for the next time: %s", error)


def _hash(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
