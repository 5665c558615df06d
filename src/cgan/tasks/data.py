"""What a data set holds, seen before training: a summary, image grids, duplicates, and the command to train."""

import hashlib
import shlex
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from cgan.commands import command
from cgan.config import compose
from cgan.data.build import build_source
from cgan.data.report import imbalance, per_class
from cgan.data.sources import Split
from cgan.errors import printable
from cgan.files import write_file
from cgan.sampling.formats import png, safe_name
from cgan.sampling.grids import drawable, image_grid

COLUMNS, ROWS = 10, 10
OVERVIEW_CLASSES = 40
SEEN = 64
"""Pixels that a picture has at least in an image grid; smaller ones are enlarged."""


def run(chosen: Sequence[str], overrides: Sequence[str], out: Path | None = None) -> Path:
    """Print what training on a data set would use; write an image grid of each class.

    Args:
        chosen: What was chosen, as it is typed: ``data=cifar10``, or ``data=folder`` with ``data.root=PATH``.
        overrides: The same in Hydra's syntax.
        out: The folder of the image grids; None makes one in ``logs/data``.

    Returns:
        The folder of the image grids.

    Raises:
        CganError: The pictures cannot be read or their classes are not clear.
    """
    cfg = compose("train", overrides)
    source = build_source(cfg.data)
    source.prepare()
    train, test = source.load("train"), source.load("test")
    names = source.spec.class_names
    for line in getattr(source, "report", None) or _report(train, test, names):
        print(line)
    unequal = imbalance(train.labels.numpy(), names)
    print(f"Copies:   {duplicates(train.images, test.images, getattr(source, 'files', None))}")
    folder = out or Path("logs") / "data" / safe_name(source.spec.name)
    write_grids(folder, train, names)
    some = f"overview.png, of {OVERVIEW_CLASSES} classes," if len(names) > OVERVIEW_CLASSES else "overview.png"
    print(f"Grids:    {shlex.quote(str(folder))} ({some} and one of each class)")
    if unequal and not source.spec.grouped:
        print(unequal)
    print(f"Train:    {command('train', *chosen)}")
    return folder


def _report(train: Split, test: Split, names: Sequence[str]) -> list[str]:
    shape = "x".join(map(str, train.images.shape[1:]))
    counts = f"{len(train.labels):,} to train on, {len(test.labels):,} to test with"
    return [f"Pictures: {counts}; {per_class(train.labels.numpy(), names)}; channels x height x width: {shape}"]


def duplicates(train: Tensor, test: Tensor, files: Sequence[str] | None = None) -> str:
    """Say how many pictures have the same pixels as an earlier one, within the training split and across splits.

    Args:
        train: (N, C, H, W) uint8.
        test: (M, C, H, W) uint8.
        files: N + M names; without them pictures are numbered.
    """
    first: dict[bytes, int] = {}
    pairs: dict[str, list[tuple[int, int]]] = {"within the training split": [], "in both splits": []}
    for place, image in enumerate(chain(train, test)):
        known = first.setdefault(hashlib.sha256(image.numpy().tobytes()).digest(), place)
        if known != place and known < len(train):
            pairs["within the training split" if place < len(train) else "in both splits"].append((known, place))
    return "; ".join(f"{len(found):,} {where}{_example(found, files)}" for where, found in pairs.items())


def _example(pairs: Sequence[tuple[int, int]], files: Sequence[str] | None) -> str:
    if not pairs:
        return ""
    return printable(" ({} = {})".format(*(files[place] if files else f"number {place}" for place in pairs[0])))


def write_grids(folder: Path, split: Split, names: Sequence[str]) -> None:
    """Write ``overview.png``, some pictures of up to 40 classes, and a grid of up to 100 pictures of each class.

    Raises:
        CganError: A grid cannot be written.
    """
    scale = max(1, -(-SEEN // max(split.images.shape[2:])))
    digits, shown = len(str(len(names) - 1)), drawable(names)
    rows: list[Tensor] = []
    row_names: list[str] = []
    for label, name in enumerate(names):
        images = split.images[(split.labels == label).nonzero().squeeze(1)[: COLUMNS * ROWS]]
        if not len(images):  # a class of the test split alone
            continue
        grid = image_grid(images, min(COLUMNS, len(images)), scale=scale)
        write_file(folder / f"{label:0{digits}d}_{safe_name(name)}.png", png(grid))
        if len(rows) < OVERVIEW_CLASSES:
            rows.append(_row(images))
            row_names.append(shown[label])
    overview = image_grid(torch.cat(rows), COLUMNS, row_names=row_names, scale=scale)
    write_file(folder / "overview.png", png(overview))


def _row(images: Tensor) -> Tensor:
    """Return the first images, and white ones where there are too few for a row."""
    white = torch.full((COLUMNS, *images.shape[1:]), 255, dtype=torch.uint8)
    return torch.cat([images, white])[:COLUMNS]
