"""Features of real images and weights of classifiers, kept between runs: one file per extractor and data."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cgan.errors import CganError
from cgan.files import cache_folder, write_file
from cgan.metrics.features import Extractor, Features, extract, hash_of

log = logging.getLogger(__name__)


def cached_features(extractor: Extractor, images: Tensor, labels: Tensor) -> Features:
    """Return the features of real images, from the cache if they are there; see :func:`extract`."""
    path = cache_path(extractor, images)
    found = read_features(path, images, labels)
    if found is None:
        found = extract(extractor, images, labels)
        keep_features(path, found)
    return found


def cache_path(extractor: Extractor, images: Tensor) -> Path:
    """Return the file for these weights, this kind of device (its rounding differs) and these (N, C, H, W) images."""
    parts = ["features", extractor.name, extractor.device.type, extractor.weights_hash(), hash_of([images])]
    return cache_folder() / f"{'_'.join(parts)}.safetensors"


def cached_tensor(name: str, compute: Callable[[], Tensor]) -> Tensor:
    """Return what ``compute`` finds, from the cache if it is there.

    Args:
        name: Of the file; holds a hash of all that the result follows from.
        compute: Called where nothing is kept.
    """
    path = cache_folder() / f"{name}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):
        return load(path.read_bytes())["found"]
    found = compute()
    keep(path, save({"found": found.contiguous()}))
    return found


def read_features(path: Path, images: Tensor, labels: Tensor) -> Features | None:
    """Return the features in a file; None where there is no file or it is damaged."""
    try:
        stored = load(path.read_bytes())
        features, logits = stored["features"], stored["logits"]
    except (OSError, SafetensorError, KeyError):
        return None
    sound = features.ndim == logits.ndim == 2 and len(features) == len(logits) == len(images)
    return Features(labels, features, logits, images) if sound and bool(features.isfinite().all()) else None


def keep_features(path: Path, found: Features) -> None:
    """Write features; see :func:`keep`."""
    keep(path, save({"features": found.features.contiguous(), "logits": found.logits.contiguous()}))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make other processes that are about to write ``path`` wait; without a place to write, nobody waits."""
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        pass
    try:
        yield
    finally:
        lock.release()


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache; if that fails, the next run only takes longer."""
    try:
        write_file(path, content)
    except CganError as error:
        log.info("Not kept for the next time: %s", error)
