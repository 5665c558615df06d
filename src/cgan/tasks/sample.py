"""Drawing: from a checkpoint to pictures in files."""

import io
import logging
import re
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
from cgan.sampling.draw import draw
from cgan.sampling.grids import grid, to_picture
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
MAX_COLUMNS, MAX_ROWS_PER_CLASS = 25, 20


class Samples(NamedTuple):
    """What was drawn.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, sorted by the order in which classes were asked for.
        seed: The seed that names them.
        grid: The file with the grid.
    """

    images: Tensor
    labels: Tensor
    seed: int
    grid: Path


def run(cfg: DictConfig) -> Samples:
    """Draw ``cfg.n`` pictures of each class in ``cfg.digits`` and write them.

    Raises:
        CganError: The generator cannot be loaded, or a wish cannot be met.
    """
    for name, least in (("n", 1), ("seed", 0)):
        if not isinstance(cfg[name], int) or cfg[name] < least:
            raise CganError(f"{name}={cfg[name]}: expected a whole number from {least}")
    if cfg.weights not in ("ema", "raw"):
        raise CganError(f"weights={cfg.weights}: expected ema or raw")
    if not isinstance(cfg.truncation, int | float) or cfg.truncation < 0:
        raise CganError(f"truncation={cfg.truncation}: expected a number from 0")
    if cfg.device != "cpu" and not torch.cuda.is_available():
        raise CganError(f"device={cfg.device}: this machine has no such device that torch can use; use device=cpu")
    found = find_generator(cfg.ckpt)
    generator = load_generator(found.path, weights=cfg.weights, device=cfg.device)
    log.info("Drawing with the %s %s", found.origin, found.path)
    spec = generator.spec
    assert spec is not None
    classes = wanted_classes(cfg.digits, spec)
    labels = torch.tensor(classes).repeat_interleave(cfg.n)
    images = draw(generator, labels, seed=cfg.seed, truncation=cfg.truncation)
    picture = labelled_grid(images.view(len(classes), cfg.n, *images.shape[1:]), [spec.class_names[c] for c in classes])
    path = Path(HydraConfig.get().runtime.output_dir) / "grid.png"
    write_file(path, _png(picture))
    log.info("Grid: %s", path)
    samples = Samples(images, labels, cfg.seed, path)
    if cfg.out is not None:
        save(samples, spec, Path(cfg.out))
        log.info("Saved: %s", cfg.out)
    return samples


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
    return grid(cells.flatten(0, 1), columns, row_names=row_names)


def save(samples: Samples, spec: DataSpec, out: Path) -> None:
    """Write ``out``: ``x.npz``, or a folder with one PNG per picture, named ``CLASS_SEED_NUMBER.png``.

    The arrays are ``images`` (N, H, W) or (N, H, W, C) uint8, ``labels`` (N,) and ``seeds`` (N,) int64.

    Raises:
        CganError: ``out`` has an ending that is not known, or cannot be written.
    """
    if out.suffix == ".npz":
        pixels = samples.images.permute(0, 2, 3, 1).numpy()
        content = io.BytesIO()
        np.savez_compressed(
            content,
            images=pixels.squeeze(3) if pixels.shape[3] == 1 else pixels,
            labels=samples.labels.numpy(),
            seeds=np.full(len(samples.labels), samples.seed),
        )
        write_file(out, content.getvalue())
    elif out.suffix == "":
        counts: dict[int, int] = {}
        for image, label in zip(samples.images, samples.labels.tolist(), strict=True):
            number = counts[label] = counts.get(label, -1) + 1
            # Class names may come from a stranger's file: no part of one is a place.
            word = re.sub(r"[^\w.-]", "-", spec.class_names[label])
            name = f"{word}_{samples.seed}_{number:05d}.png"
            write_file(out / name, _png(to_picture(image)))
    else:
        raise CganError(f"out={out}: expected a name that ends in .npz, or a folder without an ending")


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()
