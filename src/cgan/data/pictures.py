"""Pictures made elsewhere: an ``.npz`` or a folder with one subfolder per class, checked in full before any use."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.spec import DataSpec

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


def read_pictures(path: Path, spec: DataSpec) -> Split:
    """Read images and labels; nothing is scaled, a colour file of a grey data set is read as grey.

    Args:
        path: An ``.npz`` with ``images`` (N, H, W), (N, H, W, C) or (N, C, H, W), uint8 or float in [0, 1], and
            ``labels`` (N,); or a folder ``CLASS/*.png``.
        spec: What the images must be like.

    Raises:
        CganError: Something does not fit; the message names it.
    """
    if not path.exists():
        raise CganError(
            f"images={path}: no such file or folder; expected an .npz or a folder with one folder per class"
        )
    images, labels = _read_folder(path, spec) if path.is_dir() else _read_npz(path, spec)
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
    if images.dtype == np.uint8 or images.size == 0:
        return images.astype(np.uint8)
    if images.dtype.kind != "f":
        raise CganError(f"images={path}: expected uint8 or float images, found {images.dtype}; store them as uint8")
    if not np.isfinite(images).all():
        raise CganError(f"images={path}: its images hold NaN or infinity; store finite values")
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        raise CganError(
            f"images={path}: expected float images in [0, 1], found {low:.4g} to {high:.4g}; scale them, or store them "
            "as uint8 in 0..255"
        )
    return (images * 255).round().astype(np.uint8)


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


def _read_folder(folder: Path, spec: DataSpec) -> tuple[Tensor, Tensor]:
    subfolders = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    if not subfolders:
        raise CganError(f"images={folder}: expected one folder of pictures per class, found none")
    if unknown := [entry.name for entry in subfolders if entry.name not in spec.class_names]:
        raise CganError(f"images={folder}: {unknown[0]!r} is no class; expected {', '.join(spec.class_names)}")
    paths = [
        path for entry in subfolders for path in sorted(entry.iterdir()) if path.suffix.lower() in ENDINGS
    ]  # whatever else lies there, such as a README, is no picture
    if not paths:
        raise CganError(f"images={folder}: expected pictures in its folders, found none")
    labels = [spec.class_names.index(path.parent.name) for path in paths]
    return torch.stack([_read_picture(path, spec) for path in paths]), torch.tensor(labels)


def _read_picture(path: Path, spec: DataSpec) -> Tensor:
    channels, height, width = spec.img_shape
    try:
        with Image.open(path) as picture:
            size, pixels = picture.size, None
            if size == (width, height):
                pixels = np.array(picture.convert("L" if channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise CganError(f"images: {path}: expected a picture, found something unreadable ({error})") from error
    if pixels is None:
        raise CganError(
            f"images: {path}: expected {width}x{height} pixels as {spec.name} has, found {size[0]}x{size[1]}"
        )
    return torch.from_numpy(pixels).view(height, width, channels).permute(2, 0, 1)
