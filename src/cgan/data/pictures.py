"""Pictures made elsewhere: an ``.npz``, or a folder or zip of files with their classes, checked before any use."""

import io
import logging
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from cgan.data.layout import Layout, find_classes
from cgan.data.pixels import Form
from cgan.data.reading import Decoder
from cgan.data.sources import Split
from cgan.data.store import in_memory
from cgan.data.trees import MAX_BYTES, open_tree
from cgan.errors import CganError
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
MAX_COMPRESSION = 100
"""Digits are compressed to an eighth; what claims more than this, and more than a file of a zip may, is a bomb."""
MEANT = 1000
"""Images of a class whose mean is taken: enough to see how they lie."""
ROUNDING = 1e-4
"""How far a float image may leave [0, 1]."""


def read_pictures(path: Path, spec: DataSpec) -> Split:
    """Read images and labels; files are read and brought to their shape as training does by default.

    Args:
        path: An ``.npz`` with ``images`` (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1], and
            ``labels`` (N,); or a folder or zip with ``CLASS/*`` or a table of labels.
        spec: What the images must be like.

    Raises:
        CganError: Something does not fit; the message names it.
    """
    if not path.exists():
        raise CganError(
            f"images={path}: no such file or folder; expected an .npz or a folder with one folder per class"
        )
    images, labels = _read_npz(path, spec) if path.suffix == ".npz" else _read_folder(path, spec)
    if len(images) == 0:
        raise CganError(f"images={path}: expected pictures, found none")
    return Split(images, labels)


def looks_changed(images: Split, real: Split) -> str | None:
    """Say which change, such as an inversion, would bring images much closer to real ones; None where none does.

    Compared are the classes' mean images: the change has to take off more than half of their mean squared distance.
    """
    classes = sorted(set(images.labels.tolist()) & set(real.labels.tolist()))
    if not classes:
        return None
    own, other = (
        torch.stack([part.images[part.labels == label][:MEANT].float().mean(0) for label in classes])
        for part in (images, real)
    )
    changes = {
        "inverted (black is white)": 255 - own,
        "mirrored": own.flip(3),
        "upside down": own.flip(2),
        "turned by 180 degrees": own.flip(2, 3),
    }
    if own.shape[2] == own.shape[3]:
        quarters = {"turned to the right": own.rot90(1, (2, 3)), "turned to the left": own.rot90(3, (2, 3))}
        changes |= {"transposed": own.mT, **quarters}
    if own.shape[1] == 3:
        changes["stored as blue, green, red"] = own.flip(1)
    distances = {change: float((changed - other).square().mean()) for change, changed in changes.items()}
    nearest = min(distances, key=lambda change: distances[change])
    return nearest if distances[nearest] < float((own - other).square().mean()) / 2 else None


def _read_npz(path: Path, spec: DataSpec) -> tuple[Tensor, Tensor]:
    try:
        with path.open("rb") as file:
            _refuse_bomb(file)
            with np.load(file, allow_pickle=False) as stored:
                images, labels = np.asarray(stored["images"]), np.asarray(stored["labels"])
    except Exception as error:  # an untrusted file can fail in any way
        raise CganError(
            f"images={path}: expected an .npz with the arrays images and labels, found another file ({error})"
        ) from error
    pixels = _channels_first(_as_uint8(images, path), spec, path)
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise CganError(
            f"images={path}: expected labels of shape ({len(images)},) and a whole-number type, found {labels.shape} "
            f"of {labels.dtype}"
        )
    if wrong := sorted(set(labels.tolist()) - set(range(spec.num_classes))):
        raise CganError(f"images={path}: expected labels from 0 to {spec.num_classes - 1}, found {wrong[0]}")
    return torch.from_numpy(pixels.copy()), torch.from_numpy(labels.astype(np.int64))


def _refuse_bomb(file: BinaryIO) -> None:
    """Refuse a zip whose arrays claim far more bytes than the file has."""
    with zipfile.ZipFile(file) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
    if claimed > max(MAX_BYTES, MAX_COMPRESSION * file.seek(0, io.SEEK_END)):
        raise ValueError(f"its arrays claim {claimed} bytes")
    file.seek(0)


def _as_uint8(images: np.ndarray, path: Path) -> np.ndarray:
    if images.size == 0:
        return images.astype(np.uint8)
    if images.dtype == np.uint8:
        if images.max() == 1:
            raise CganError(f"images={path}: expected uint8 images in 0..255, found only 0 and 1; multiply them by 255")
        return images
    if images.dtype.kind != "f":
        raise CganError(f"images={path}: expected uint8 or float images, found {images.dtype}; store them as uint8")
    if not np.isfinite(images).all():
        raise CganError(f"images={path}: its images hold NaN or infinity; store finite values")
    low, high = images.min(), images.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise CganError(
            f"images={path}: expected float images in [0, 1], found {low:.6g} to {high:.6g}; scale them, or store them "
            "as uint8 in 0..255"
        )
    return (images * 255).round().clip(0, 255).astype(np.uint8)


def _channels_first(images: np.ndarray, spec: DataSpec, path: Path) -> np.ndarray:
    channels, height, width = spec.img_shape
    shape = images.shape[1:]
    if shape == spec.img_shape:
        return images
    if shape == (height, width, channels):
        return images.transpose(0, 3, 1, 2)
    if shape == (height, width) and channels == 1:
        return images[:, None]
    raise CganError(
        f"images={path}: expected shape (N, {height}, {width}, {channels}) or (N, {channels}, {height}, {width}) as "
        f"{spec.name} has, found {images.shape}"
    )


def _read_folder(path: Path, spec: DataSpec) -> tuple[Tensor, Tensor]:
    tree, one = open_tree(path, "images"), spec.num_classes == 1
    classes, left_out = find_classes(tree, spec.class_names[0] if one else "")
    labels = {name: label for label, name in enumerate(spec.class_names)}
    if not one and (unknown := sorted(set(classes.values()) - set(labels))):
        found = f"{unknown[0]!r} is no class" if unknown[0] else "the pictures lie in no folder of a class"
        raise CganError(f"{tree.shown}: {found}; expected {spec.classes}")
    files = sorted(((file, labels.get(name, 0)) for file, name in classes.items()), key=lambda file: (file[1], file[0]))
    channels, height, width = spec.img_shape
    decoder = Decoder(tree, Layout(files, [], "", spec.class_names, left_out), Form(channels, (height, width)))
    images = in_memory(decoder.chunks(), dict, decoder.shape).images
    log.info("%s: %s pictures, used as %s", tree.shown, f"{len(images):,}", decoder.made())
    return images, torch.tensor([label for _, label in files])
