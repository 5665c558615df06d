"""Drawing: from a checkpoint to pictures in files."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig
from PIL import Image
from torch import Tensor

from cgan.checkpoint import find_generator, load_generator
from cgan.errors import CganError
from cgan.files import write_file
from cgan.networks.base import Generator
from cgan.sampling import formats
from cgan.sampling.decode import decode_image
from cgan.sampling.draw import draw, render
from cgan.sampling.grids import image_grid
from cgan.sampling.interpolate import morph
from cgan.sampling.invert import centre, invert
from cgan.sampling.noise import latents
from cgan.seeding import torch_stream
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
MAX_COLUMNS, MAX_ROWS_PER_CLASS = 25, 20
FORMATS = ("png", "npz", "zip", "gif", "mp4", "idx")
TEST_SHARE = 6  # MNIST has six training images for one test image


class Samples(NamedTuple):
    """What was drawn.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, sorted by the order in which classes were asked for.
        seed: The seed that names them.
        grid: The file with the grid.
        out: The file or folder with the pictures, if one was wanted.
    """

    images: Tensor
    labels: Tensor
    seed: int
    grid: Path
    out: Path | None


def run(cfg: DictConfig) -> Samples:
    """Draw what ``cfg`` asks for and write it: classes, the way between two, or all classes in somebody's hand.

    Raises:
        CganError: The generator cannot be loaded, or a wish cannot be met.
    """
    check(cfg)
    found = find_generator(cfg.ckpt)
    generator = load_generator(found.path, weights=cfg.weights, device=cfg.device)
    log.info("Drawing with the %s %s", found.origin, found.path)
    spec = generator.spec
    assert spec is not None
    folder = Path(HydraConfig.get().runtime.output_dir)
    kind, out = destination(cfg, folder)
    # An idx data set has a test split too: pictures that follow those of the training split.
    n = cfg.n + -(-cfg.n // TEST_SHARE) if kind == "idx" else cfg.n
    images, labels, names = drawn(cfg, n, generator, spec)
    write_file(folder / "grid.png", formats.png(labelled_grid(images, names)))
    log.info("Grid: %s", folder / "grid.png")
    if kind == "idx":
        save_idx(images, labels, cfg.n, cfg.seed, out)
    elif kind in ("gif", "mp4"):
        frames = images.permute(1, 2, 3, 0, 4).flatten(3)  # the classes side by side
        write_file(out, formats.gif(frames) if kind == "gif" else formats.mp4(frames))
    elif kind:
        save(images.flatten(0, 1), labels.flatten(), cfg.seed, spec, kind, out)
    if kind:
        log.info("Saved: %s", out)
    return Samples(images.flatten(0, 1), labels.flatten(), cfg.seed, folder / "grid.png", out if kind else None)


def check(cfg: DictConfig) -> None:
    """Refuse what cannot be meant, before anything is loaded.

    Raises:
        CganError: A value is out of range, or two wishes exclude each other.
    """
    for name, least in (("n", 1), ("seed", 0)):
        if type(cfg[name]) is not int or cfg[name] < least:
            raise CganError(f"{name}={cfg[name]}: expected a whole number from {least}")
    if cfg.weights not in ("ema", "raw"):
        raise CganError(f"weights={cfg.weights}: expected ema or raw")
    if not isinstance(cfg.truncation, int | float) or cfg.truncation < 0:
        raise CganError(f"truncation={cfg.truncation}: expected a number from 0")
    if cfg.device != "cpu" and not torch.cuda.is_available():
        raise CganError(f"device={cfg.device}: this machine has no such device that torch can use; use device=cpu")
    if cfg.format not in (None, *FORMATS):
        raise CganError(f"format={cfg.format}: expected one of {', '.join(FORMATS)}")
    if cfg.interpolate is not None and cfg.style is not None:
        raise CganError("interpolate and style exclude each other: choose one")
    if cfg.format == "idx" and (cfg.interpolate is not None or cfg.style is not None):
        raise CganError("format=idx writes a data set of whole classes: leave out interpolate and style")
    if cfg.format in ("gif", "mp4") and (cfg.n < 2 or cfg.style is not None):
        raise CganError(f"format={cfg.format} shows n pictures in turn: set n to at least 2 and leave out style")


def destination(cfg: DictConfig, folder: Path) -> tuple[str | None, Path]:
    """Settle the format and where to write it; ``out`` alone says both, ``format`` alone writes into ``folder``.

    Raises:
        CganError: The ending of ``out`` is not known or is another format's.
    """
    if cfg.out is None:
        name = "samples" if cfg.format in ("png", "idx") else f"samples.{cfg.format}"
        return cfg.format, folder / name
    out = Path(cfg.out)
    ending = out.suffix.removeprefix(".")
    kind = cfg.format or ending or "png"
    if kind not in FORMATS or ending != ("" if kind in ("png", "idx") else kind):
        raise CganError(
            f"out={out}: expected a name that ends in .npz, .zip, .gif or .mp4, or a folder without an ending for PNGs "
            "or format=idx"
        )
    return kind, out


def drawn(cfg: DictConfig, n: int, generator: Generator, spec: DataSpec) -> tuple[Tensor, Tensor, list[str]]:
    """Draw: images (rows, n, C, H, W) uint8, their labels (rows, n) and a name per row."""
    if cfg.interpolate is not None:
        return _between(cfg, generator, spec)
    if cfg.style is not None:
        return _in_the_hand_of(cfg, generator, spec)
    classes = wanted_classes(cfg.digits, spec)
    labels = torch.tensor(classes).unsqueeze(1).expand(-1, n)
    images = draw(generator, labels.flatten(), seed=cfg.seed, truncation=cfg.truncation)
    return images.view(*labels.shape, *generator.img_shape), labels, [spec.class_names[c] for c in classes]


def _between(cfg: DictConfig, generator: Generator, spec: DataSpec) -> tuple[Tensor, Tensor, list[str]]:
    words = list(cfg.interpolate) if isinstance(cfg.interpolate, ListConfig | list) else [cfg.interpolate]
    if len(words) != 2 or cfg.n < 2:
        raise CganError(f"interpolate={words} n={cfg.n}: expected two classes, such as interpolate=[3,8], and n from 2")
    first, last = (spec.label_of(word) for word in words)
    start, end = latents(torch.tensor([first, last]), generator.z_dim, cfg.seed) * cfg.truncation
    images = morph(generator, (start, end), (first, last), cfg.n)
    labels = torch.where(torch.arange(cfg.n) * 2 < cfg.n, first, last)
    return images.unsqueeze(0), labels.unsqueeze(0), [f"{spec.class_names[first]} - {spec.class_names[last]}"]


def _in_the_hand_of(cfg: DictConfig, generator: Generator, spec: DataSpec) -> tuple[Tensor, Tensor, list[str]]:
    path = Path(cfg.style)
    try:
        picture = decode_image(path.read_bytes())
    except OSError as error:
        raise CganError(f"style={path}: cannot read it ({error.strerror}); name a picture of one digit") from error
    except CganError as error:
        raise CganError(f"style={path}: {error}") from error
    channels, height, width = generator.img_shape
    if height != width:
        raise CganError(f"style={path}: handwriting needs square pictures, this generator draws {height}x{width}")
    hand = invert(generator, centre(picture, height).expand(channels, -1, -1))
    log.info("Read as a %s, mean squared difference %.4f", spec.class_names[hand.label], hand.error)
    classes = wanted_classes(cfg.digits, spec)
    labels = torch.tensor(classes)
    images = render(generator, hand.z.expand(len(classes), -1), labels)
    return images.unsqueeze(1), labels.unsqueeze(1), [spec.class_names[c] for c in classes]


def wanted_classes(digits: Any, spec: DataSpec) -> list[int]:
    """Turn a class, a list of classes or ``all`` into labels, each once.

    Raises:
        CganError: There is no such class, or none is named.
    """
    if digits == "all":
        return list(range(spec.num_classes))
    words = list(digits) if isinstance(digits, ListConfig | list) else [digits]
    if not words:
        raise CganError("digits=[]: expected a class, a list of classes or all")
    return list(dict.fromkeys(spec.label_of(word) for word in words))


def labelled_grid(images: Tensor, names: list[str]) -> Image.Image:
    """Lay out (classes, n, C, H, W) uint8: one class as a square, several as a row each, long rows wrapped."""
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
    """Write pictures as ``npz``, ``zip`` or ``png``: a folder with one PNG per picture, ``CLASS_SEED_NUMBER.png``.

    Raises:
        CganError: ``out`` cannot be written.
    """
    pictures = formats.LabelledImages(images, labels, torch.full_like(labels, seed))
    if kind == "npz":
        write_file(out, formats.npz(pictures))
    elif kind == "zip":
        write_file(out, formats.zip_archive(pictures, spec.class_names))
    else:
        for name, image in zip(formats.file_names(pictures, spec.class_names), images, strict=True):
            write_file(out / name, formats.png(image))


def save_idx(images: Tensor, labels: Tensor, n: int, seed: int, out: Path) -> None:
    """Write a data set in MNIST's files under ``out/MNIST/raw``, which ``torchvision.datasets.MNIST(out)`` reads.

    Args:
        images: (classes, pictures, 1, H, W) uint8.
        labels: (classes, pictures).
        n: The first ``n`` of each class are the training split, the others the test split; both are shuffled.
        seed: Names the order.
        out: The data set's root.

    Raises:
        CganError: The pictures do not fit the format, or ``out`` cannot be written.
    """
    for split, part in (("train", slice(n)), ("t10k", slice(n, None))):
        chosen, classes = images[:, part].flatten(0, 1), labels[:, part].flatten()
        order = torch.randperm(len(classes), generator=torch_stream(seed))
        for name, content in zip(
            ("images-idx3", "labels-idx1"), formats.idx(chosen[order], classes[order]), strict=True
        ):
            write_file(out / "MNIST" / "raw" / f"{split}-{name}-ubyte", content)
