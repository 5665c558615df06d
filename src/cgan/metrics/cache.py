"""Features of real images and weights of classifiers, kept between runs: one file per extractor and data."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cgan.errors import CganError
from cgan.files import cache_folder, write_file
from cgan.metrics.features import Extractor, Features, extract, hash_of

log = logging.getLogger(__name__)
DAMAGE = (OSError, SafetensorError, KeyError, ValueError, TypeError)
"""What reading a file of the cache raises where there is none, or none that is whole."""
MAX_BYTES = 10 * 10**9
"""Of all features together; those used longest ago make room."""
PROBED = 8
ROUNDING = 1e-2
"""As a share of the features: batches of another size round otherwise; another computation differs by more."""
_SEAL = "sha256"


def cached_features(extractor: Extractor, images: Tensor, labels: Tensor) -> Features:
    """Return the features of real images, from the cache if they are there; see :func:`extract`."""
    path = cache_path(extractor, images)
    found = read_features(path, images, labels)
    if found is None or not _still_made(extractor, found):
        found = extract(extractor, images, labels)
        keep_features(path, found)
    return found


def _still_made(extractor: Extractor, found: Features) -> bool:
    """Whether the extractor makes these features of some of the images: the code of one's own may have changed."""
    some = found.spread(min(len(found.labels), PROBED))
    again = extract(extractor, some.images, some.labels)
    pairs = ((again.features, some.features), (again.logits, some.logits))
    return all(new.shape == old.shape and (new - old).norm() <= ROUNDING * old.norm() for new, old in pairs)


def cache_path(extractor: Extractor, images: Tensor) -> Path:
    """Return the file for these weights, this kind of device (its rounding differs) and these (N, C, H, W) images."""
    parts = ["features", extractor.name, extractor.device.type, extractor.weights_hash(), hash_of([images])]
    return cache_folder() / f"{'_'.join(parts)}.safetensors"


def cached_tensor(name: str, compute: Callable[[], Tensor]) -> Tensor:
    """Return what ``compute`` finds, from the cache if it is there; ``name`` has a hash of all that it follows from."""
    path = cache_folder() / f"{name}.safetensors"
    try:
        return unsealed(path)[0]["found"]
    except DAMAGE:
        found = compute()
        keep(path, sealed({"found": found}))
        return found


def read_features(path: Path, images: Tensor, labels: Tensor) -> Features | None:
    """Return the features in a file; None where there is no file or it is damaged."""
    try:
        stored, _ = unsealed(path)
        with suppress(OSError):  # of another user, or on a read-only disk
            os.utime(path)  # it was used just now
        features, logits = stored["features"], stored["logits"]
    except DAMAGE:
        return None
    sound = features.ndim == logits.ndim == 2 and len(features) == len(logits) == len(images)
    return Features(labels, features, logits, images) if sound and bool(features.isfinite().all()) else None


def keep_features(path: Path, found: Features) -> None:
    """Write features; see :func:`keep`. Beyond 10 GB those of other images that were used longest ago are removed."""
    keep(path, sealed({"features": found.features, "logits": found.logits}))
    with suppress(OSError):  # another process removes them, too
        kept = sorted(path.parent.glob("features_*.safetensors"), key=lambda one: one.stat().st_mtime, reverse=True)
        sizes = accumulate(one.stat().st_size for one in kept)
        for old in (one for one, taken in zip(kept, sizes, strict=True) if taken > MAX_BYTES and one != path):
            old.unlink()


def sealed(tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file of tensors and words, with a checksum of both among the words."""
    about = {**(about or {})}
    plain = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return save(plain, {**about, _SEAL: _checksum(plain, about)})


def unsealed(path: Path, *, required: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what :func:`sealed` gave.

    Args:
        path: The file.
        required: Refuse a file without a checksum.

    Raises:
        OSError, SafetensorError, ValueError: It is missing, damaged or something else: see :data:`DAMAGE`.
    """
    with safe_open(path, "pt") as stored:
        about = {**(stored.metadata() or {})}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no dict
    seal = about.pop(_SEAL, None)
    if seal != _checksum(tensors, about) if seal else required:
        raise ValueError("its checksum is wrong")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache; if that fails, the next run only takes longer."""
    try:
        write_file(path, content)
    except CganError as error:
        log.info("Not kept for the next time: %s", error)
