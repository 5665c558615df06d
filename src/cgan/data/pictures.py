"""Pictures made elsewhere: an ``.npz``, or a folder or zip of files with their classes, checked before any use."""

import logging
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgan.data.layout import find_classes
from cgan.data.pixels import Form, read_picture
from cgan.data.report import describe_left_out
from cgan.data.sources import Split
from cgan.data.trees import open_tree
from cgan.errors import CganError
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
ROUNDING = 1e-4
"""How far a float image may leave [0, 1]."""


def read_pictures(path: Path, spec: DataSpec) -> Split:
    """Read images and labels; files are read as training reads them, but for their size, which must fit.

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


def _read_npz(path: Path, spec: DataSpec) -> tuple[Tensor, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
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
    tree = open_tree(path, "images")
    classes, left_out = find_classes(tree, spec.class_names[0] if spec.num_classes == 1 else "", f"images={path}")
    if unknown := sorted(set(classes.values()) - set(spec.class_names)):
        raise CganError(f"images={path}: {unknown[0]!r} is no class; expected {', '.join(spec.class_names)}")
    if left_out:
        log.info("images=%s: %d pictures%s", path, len(classes), describe_left_out(left_out))
    files = sorted(classes, key=lambda file: (spec.class_names.index(classes[file]), file))
    pixels = [_read_picture(tree.read(file), spec, f"{path}/{file}") for file in files]
    return torch.from_numpy(np.stack(pixels)), torch.tensor([spec.class_names.index(classes[file]) for file in files])


def _read_picture(content: bytes, spec: DataSpec, name: str) -> np.ndarray:
    channels, height, width = spec.img_shape
    picture = read_picture(content, Form(channels), f"images: {name}")
    if picture.size != (width, height):
        found = "x".join(map(str, picture.size))
        raise CganError(f"images: {name}: expected {width}x{height} pixels as {spec.name} has, found {found}")
    return picture.pixels
