"""Drawing: from a generator to images in files."""

import logging
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from cgan.checkpoint import find_generator, load_generator
from cgan.config import listed, typed_keys
from cgan.data.pixels import FORMATS as PICTURE_FORMATS
from cgan.errors import CganError, check_choice, check_whole
from cgan.files import write_file, write_together
from cgan.hardware import check_device
from cgan.networks.base import Generator
from cgan.plugins import load_plugins
from cgan.records.summary import log_summary
from cgan.sampling import formats
from cgan.sampling.decode import decode_image
from cgan.sampling.draw import check_truncation, draw, render
from cgan.sampling.grids import drawable, image_grid
from cgan.sampling.interpolate import morph
from cgan.sampling.invert import Inversion, invert, like, target_of
from cgan.sampling.noise import latents
from cgan.sampling.styles import mix
from cgan.seeding import torch_stream
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
MAX_COLUMNS, MAX_ROWS_PER_CLASS, MAX_CLASSES = 25, 20, 50
FORMATS = ("png", "npz", "zip", "gif", "mp4", "idx")
UNUSED_BESIDE = {"style": ("n", "seed"), "interpolate": ("classes", "digits"), "mix": ("seed",), "digits": ("classes",)}
"""Keys that would count for nothing beside a request."""
TEST_SHARE = 6  # MNIST has six training images for one test image


class Samples(NamedTuple):
    """What was drawn: (N, C, H, W) uint8, (N,) int64; ``out`` is None if only the grid was written."""

    images: Tensor
    labels: Tensor
    seed: int
    grid: Path
    out: Path | None


def run(cfg: DictConfig) -> Samples:
    """Draw and write the images that ``cfg`` requests: classes, mixes, an interpolation, or the style of an image.

    Raises:
        CganError: The generator cannot be loaded, or the request cannot be met.
    """
    load_plugins(cfg.plugins)
    check_request(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    kind, out = destination(cfg, folder)
    check_format(cfg, kind)
    found = find_generator(cfg.ckpt)
    generator = load_generator(found.path, weights=cfg.weights, device=cfg.device)
    log_summary(found.path)
    spec = generator.spec
    assert spec is not None
    # An idx data set also has a test split, whose images follow those of the training split.
    n = cfg.n + -(-cfg.n // TEST_SHARE) if kind == "idx" else cfg.n
    images, labels, names = draw_requested(cfg, n, generator, spec)
    grid = folder / "grid.png" if kind else out
    write_file(grid, formats.png(labelled_grid(images, names)))
    log.info("Grid: %s", grid)
    if kind == "idx":
        save_idx(images, labels, cfg.n, cfg.seed, out)
    elif kind in ("gif", "mp4"):
        frames = images.permute(1, 2, 3, 0, 4).flatten(3)  # the classes side by side
        write_file(out, formats.gif(frames) if kind == "gif" else formats.mp4(frames))
    elif kind:
        plain = cfg.interpolate is None and cfg.style is None and cfg.mix is None
        save(images.flatten(0, 1), labels.flatten(), cfg.seed if plain else formats.NO_SEED, spec, kind, out)
    if kind:
        log.info("Saved: %s", out)
    return Samples(images.flatten(0, 1), labels.flatten(), cfg.seed, grid, out if kind else None)


def check_request(cfg: DictConfig) -> None:
    """Check values that need no generator, before anything is loaded."""
    check_whole("n", cfg.n, 1)
    check_whole("seed", cfg.seed, 0)
    check_truncation(cfg.truncation)
    check_device(cfg.device)
    if cfg.format is not None:
        check_choice("format", cfg.format, FORMATS)
    if sum(cfg[name] is not None for name in ("interpolate", "style", "mix")) > 1:
        raise CganError("interpolate, style and mix exclude each other: choose one")
    for choice, others in UNUSED_BESIDE.items():
        if cfg[choice] is not None and (unused := [key for key in others if key in typed_keys()]):
            listed_keys = "= and ".join(unused)
            raise CganError(f"{choice}={cfg[choice]}: it takes no {' and no '.join(unused)}; leave {listed_keys}= out")
    if cfg.style is not None and cfg.truncation != 1:
        raise CganError("style= draws each class in the style of the image: leave out truncation")
    if cfg.crossover is not None and cfg.mix is None:
        raise CganError(f"crossover={cfg.crossover}: expected mix=[SEED,SEED] beside it")
    if cfg.mix is not None and (len(seeds := listed(cfg.mix)) != 2 or not all(map(_is_seed, seeds))):
        raise CganError(f"mix={seeds}: expected two seeds, such as mix=[1,2]")


def check_format(cfg: DictConfig, kind: str | None) -> None:
    """Check that what is requested can be written in a format."""
    if kind == "idx" and (cfg.interpolate is not None or cfg.style is not None):
        raise CganError("format=idx writes a data set of whole classes: leave out interpolate and style")
    if kind in ("gif", "mp4") and (cfg.n < 2 or cfg.style is not None):
        raise CganError(f"format={kind} shows n images in turn: set n to at least 2 and leave out style")


def destination(cfg: DictConfig, folder: Path) -> tuple[str | None, Path]:
    """Choose the format and the place of the images from ``format`` and ``out``, of which one implies the other.

    Without a format, the place is that of the grid, which is then all that is written.
    """
    if cfg.out is None:
        if cfg.format is None:
            return None, folder / "grid.png"
        return cfg.format, folder / ("samples" if cfg.format in ("png", "idx") else f"samples.{cfg.format}")
    out = Path(cfg.out).expanduser()
    ending = out.suffix.lower().removeprefix(".")
    if ending == "png" and cfg.format in (None, "png"):
        return None, out
    of_file = ending in ("npz", "zip", "gif", "mp4")
    kind = cfg.format or (ending if of_file else "png")
    if of_file and kind != ending:
        raise CganError(f"out={out} and format={kind} name two formats: leave format= out, or give out= another name")
    known = not of_file and mimetypes.MimeTypes().guess_type(out.name) != (None, None)  # a .jpg, a .tar.gz
    if known or of_file != (kind not in ("png", "idx")):
        raise CganError(
            f"out={out}: expected a name that ends in .npz, .zip, .gif or .mp4, in .png for the grid alone, or a "
            "folder for PNGs or format=idx"
        )
    return kind, out


def draw_requested(cfg: DictConfig, n: int, generator: Generator, spec: DataSpec) -> tuple[Tensor, Tensor, list[str]]:
    """Draw: images (rows, n, C, H, W) uint8, their labels (rows, n) and a name per row."""
    if cfg.interpolate is not None:
        return _interpolate(cfg, generator, spec)
    classes = requested_labels(cfg.classes if cfg.digits is None else cfg.digits, spec)
    every = drawable(spec.class_names)
    names = [every[label] for label in classes]
    if cfg.style is not None:
        found = _invert(Path(cfg.style).expanduser(), generator, spec)
        images = render(generator, like(generator, found, torch.tensor(classes)), torch.tensor(classes))
        return images.unsqueeze(1), torch.tensor(classes).unsqueeze(1), names
    labels = torch.tensor(classes).unsqueeze(1).expand(-1, n)
    if cfg.mix is None:
        images = draw(generator, labels.flatten(), seed=cfg.seed, truncation=cfg.truncation)
    else:
        coarse, fine = (latents(labels.flatten(), generator.z_dim, seed) for seed in cfg.mix)
        styles = mix(generator, coarse, fine, labels.flatten(), cfg.crossover, cfg.truncation)
        images = render(generator, styles, labels.flatten())
    return images.view(*labels.shape, *generator.img_shape), labels, names


def _interpolate(cfg: DictConfig, generator: Generator, spec: DataSpec) -> tuple[Tensor, Tensor, list[str]]:
    classes = listed(cfg.interpolate)
    if len(classes) != 2 or cfg.n < 2:
        raise CganError(
            f"interpolate={classes} n={cfg.n}: expected two classes, such as interpolate=[3,8], and n from 2"
        )
    first, last = (spec.label_of(entry) for entry in classes)
    start, end = latents(torch.tensor([first, last]), generator.z_dim, cfg.seed)
    images = morph(generator, (start, end), (first, last), cfg.n, cfg.truncation)
    labels = torch.where(torch.arange(cfg.n) * 2 < cfg.n, first, last)
    names = drawable(spec.class_names)
    return images.unsqueeze(0), labels.unsqueeze(0), [f"{names[first]} - {names[last]}"]


def _invert(path: Path, generator: Generator, spec: DataSpec) -> Inversion:
    """Search for what draws the picture in an image file."""
    try:
        target = target_of(generator, decode_image(path.read_bytes(), generator.img_shape, PICTURE_FORMATS))
    except OSError as error:
        raise CganError(f"style={path}: cannot read it ({error.strerror}); name a picture of one class") from error
    except CganError as error:
        raise CganError(f"style={path}: {error}") from error
    found = invert(generator, target)
    log.info("Read as a %s, mean squared difference %.4f", spec.class_names[found.label], found.error)
    return found


def requested_labels(classes: Any, spec: DataSpec) -> list[int]:
    """Convert a class, a list of classes or ``all`` to labels, each once."""
    if classes == "all" and "all" not in spec.class_names:
        return list(range(spec.num_classes))
    if not (entries := listed(classes)):
        raise CganError("classes=[]: expected a class, a list of classes or all")
    return list(dict.fromkeys(spec.label_of(entry) for entry in entries))


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def labelled_grid(images: Tensor, names: Sequence[str]) -> Image.Image:
    """Lay out (classes, n, C, H, W) uint8: one class as a square, several as a row each, long rows wrapped."""
    if len(images) > MAX_CLASSES:
        log.info("The grid shows the first %d of %s classes; out= writes all", MAX_CLASSES, f"{len(images):,}")
        images, names = images[:MAX_CLASSES], names[:MAX_CLASSES]
    classes, n, *shape = images.shape
    columns = max(int(np.ceil(np.sqrt(n))), 5) if classes == 1 else n
    columns = min(columns, MAX_COLUMNS, n)
    rows = min(-(-n // columns), MAX_ROWS_PER_CLASS)
    if n > rows * columns:
        log.info("The grid shows the first %d of each class; out= writes all", rows * columns)
    cells = torch.full((classes, rows * columns, *shape), 255, dtype=torch.uint8)
    shown = min(n, rows * columns)
    cells[:, :shown] = images[:, :shown]
    row_names = [name if row == 0 else "" for name in names for row in range(rows)]
    return image_grid(cells.flatten(0, 1), columns, row_names=row_names)


def save(images: Tensor, labels: Tensor, seed: int, spec: DataSpec, kind: str, out: Path) -> None:
    """Write images as ``npz``, ``zip`` or ``png``: a folder with one PNG per image, ``CLASS_SEED_NUMBER.png``."""
    samples = formats.LabelledImages(images, labels, torch.full_like(labels, seed))
    if kind == "npz":
        write_file(out, formats.npz(samples))
    elif kind == "zip":
        write_file(out, formats.zip_archive(samples, spec.class_names))
    else:
        names = formats.file_names(samples, spec.class_names)
        write_together(out, dict(zip(names, map(formats.png, images), strict=True)))


def save_idx(images: Tensor, labels: Tensor, n: int, seed: int, out: Path) -> None:
    """Write a data set in MNIST's files under ``out/MNIST/raw``, which ``torchvision.datasets.MNIST(out)`` reads.

    The first ``n`` of each class, of images (K, n, 1, H, W) uint8 and labels (K, n), are the training split, the others
    the test split; both are shuffled.
    """
    files: dict[str, bytes] = {}
    for split, part in (("train", slice(n)), ("t10k", slice(n, None))):
        chosen, classes = images[:, part].flatten(0, 1), labels[:, part].flatten()
        order = torch.randperm(len(classes), generator=torch_stream(seed))
        names = (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte")
        files |= dict(zip(names, formats.idx(chosen[order], classes[order]), strict=True))
    write_together(out / "MNIST" / "raw", files)
