"""Evaluation: from generators and pictures to numbers, tables, plots and sheets, beside real test images."""

import io
import json
import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.files import write_file
from cgan.machine import describe_machine
from cgan.metrics.cache import cached_look
from cgan.metrics.cas import BATCH_SIZE, classification_accuracy
from cgan.metrics.extractors import extractor_for
from cgan.metrics.labels import confusion
from cgan.metrics.looks import Look, evenly, labels_like, look
from cgan.metrics.suite import Suite, choose, count_in_words, refuse_too_few
from cgan.reporting.plots import confusion_matrices, overview
from cgan.reporting.sheets import (
    extremes_sheet,
    first_sheet,
    interpolation_sheet,
    neighbours_sheet,
    style_sheet,
    to_png,
)
from cgan.reporting.table import Columns, class_table, csv_table, text_table
from cgan.sampling.draw import render
from cgan.sampling.noise import latents
from cgan.spec import DataSpec
from cgan.tasks.judged import Judged, collect, described
from cgan.tracking import TensorBoard

log = logging.getLogger(__name__)
FLOOR = "floor"
SHEET_ROWS = 10


class Evaluation(NamedTuple):
    """What an evaluation leaves behind.

    Attributes:
        folder: ``evaluation.json`` and ``.csv``, ``overview.png``, ``confusion.png``, a folder of sheets for each.
        columns: Values by tag, by name; the last column is the floor.
    """

    folder: Path
    columns: Columns


def run(cfg: DictConfig) -> Evaluation:
    """Judge what ``cfg`` names and write everything into the folder of this job.

    Raises:
        CganError: A wish cannot be met or an input is not sound; found out before any long work.
    """
    _refuse_wishes(cfg)
    source = instantiate(cfg.data.source, _convert_="all")
    spec: DataSpec = source.spec
    judged = collect(cfg, spec)
    extractor = extractor_for(cfg.quality.features, spec).to(cfg.device)
    metrics = choose(_names(cfg.quality.metrics), extractor, cfg.quality.n)
    source.prepare()
    splits: dict[str, Split] = {"train": source.load("train"), "test": source.load("test")}
    reference, held_out = splits[cfg.reference], splits["train" if cfg.reference == "test" else "test"]
    n = min(cfg.quality.n, len(held_out.labels))
    samples = [_planned(entry, reference.labels, n) for entry in judged]
    for entry, labels in zip(judged, samples, strict=True):
        refuse_too_few(metrics, labels, spec.num_classes, entry.source)

    with tqdm(total=(len(judged) + 1) * (len(metrics) + int(cfg.cas)), unit="step", dynamic_ncols=True) as bar:
        bar.set_description("looking at real images")
        real = cached_look(extractor, *reference), cached_look(extractor, *held_out)
        suite = Suite(*real, extractor, metrics, n, cfg.reference)
        looks = {}
        for entry, labels in zip(judged, samples, strict=True):
            bar.set_description(f"{entry.name}: drawing")
            images = _images(entry, labels, cfg.quality.seed, cfg.batch_size)
            looks[entry.name] = look(extractor, images, labels, cfg.batch_size)
        looks[FLOOR] = suite.test.spread(n)
        columns = {name: _measured(name, seen, suite, splits if cfg.cas else None, bar) for name, seen in looks.items()}
        bar.set_description("pictures")
        sheets = {entry.name: _sheets(entry, looks[entry.name], suite.reference, cfg, spec) for entry in judged}
        result = Evaluation(Path(HydraConfig.get().runtime.output_dir), columns)
        _write(result, judged, looks, sheets, _protocol(cfg, spec, n), spec)
    log.info("\n%s\n", "\n\n".join(filter(None, [text_table(columns), class_table(columns, spec.class_names)])))
    log.info("Written: %s", result.folder)
    return result


def _measured(
    name: str, looked: Look, suite: Suite, cas_splits: dict[str, Split] | None, bar: tqdm
) -> dict[str, float]:
    """Return every value of one column, by tag; the bar moves with each metric."""

    def done(metric: str) -> None:
        bar.set_description(f"{name}: {metric}", refresh=False)
        bar.update()

    values = suite.measure(looked, done)
    if cas_splits:
        bar.set_description(f"{name}: cas")
        values |= _cas(name, looked, cas_splits)
        done("cas")
    return values


def _cas(name: str, looked: Look, splits: dict[str, Split]) -> dict[str, float]:
    """Teach with samples; the floor's students learn from as many real training images for as long."""
    images, labels, n = looked.images, looked.labels, len(looked.labels)
    if name == FLOOR:
        images, labels = (column[evenly(len(column), n)] for column in splits["train"])
    score, count = classification_accuracy(images, labels, *splits["test"]), count_in_words(n)
    return {f"cas_student_{count}_test": score.mean, f"cas_deviation_student_{count}_test": score.deviation}


def _refuse_wishes(cfg: DictConfig) -> None:
    if not cfg.quality or "features" not in cfg.quality:
        raise CganError("quality: expected quality=digits or quality=inception; there is nothing to measure")
    for name, least in (("n", 2), ("seed", 0), ("batch_size", 1)):
        if not isinstance(cfg[name], int) or isinstance(cfg[name], bool) or cfg[name] < least:
            raise CganError(f"{name}={cfg[name]}: expected a whole number from {least}")
    for name, choices in (("weights", ("ema", "raw")), ("reference", ("train", "test")), ("cas", (True, False))):
        if cfg[name] not in choices:
            raise CganError(f"{name}={cfg[name]}: expected {' or '.join(str(choice).lower() for choice in choices)}")
    if cfg.cas and cfg.n < BATCH_SIZE:
        raise CganError(f"n={cfg.n}: cas=true needs at least {BATCH_SIZE} samples to learn from")
    if cfg.device != "cpu" and not torch.cuda.is_available():
        raise CganError(f"device={cfg.device}: this machine has no such device that torch can use; use device=cpu")


def _names(metrics: Any) -> list[str] | str:
    return [str(name) for name in metrics] if isinstance(metrics, ListConfig) else str(metrics)


def _planned(entry: Judged, reference: Tensor, n: int) -> Tensor:
    """Return the labels of the ``n`` images that will be judged."""
    if entry.pictures is None:
        return labels_like(reference, n)
    found = len(entry.pictures.labels)
    if found < n:
        raise CganError(f"images={entry.source}: {n} pictures are needed, found {found}; set n={found} or give more")
    return entry.pictures.labels[evenly(found, n)]


def _images(entry: Judged, labels: Tensor, seed: int, batch_size: int) -> Tensor:
    if entry.generator is not None:
        return render(entry.generator, latents(labels, entry.generator.z_dim, seed), labels, batch_size)
    assert entry.pictures is not None
    return entry.pictures.images[evenly(len(entry.pictures.labels), len(labels))]


def _sheets(entry: Judged, looked: Look, reference: Look, cfg: DictConfig, spec: DataSpec) -> dict[str, bytes]:
    """Draw the pictures that explain the values of one column, by file name."""
    names, seed = list(spec.class_names), cfg.quality.seed
    sheets = {"neighbours.png": neighbours_sheet(looked, reference, names)}
    if looked.logits.shape[1] == spec.num_classes:
        sheets["extremes.png"] = extremes_sheet(looked, names)
    if entry.generator is not None:
        sheets["samples.png"] = style_sheet(entry.generator, names, rows=SHEET_ROWS, seed=seed)
        sheets["interpolation.png"] = interpolation_sheet(entry.generator, names, seed=seed)
    else:
        sheets["samples.png"] = first_sheet(looked, names, rows=SHEET_ROWS)
    return {name: to_png(sheet) for name, sheet in sheets.items()}


def _protocol(cfg: DictConfig, spec: DataSpec, n: int) -> dict[str, Any]:
    """Say all that two evaluations must share for their values to be compared, and what computed them."""
    return {
        "data": spec.name,
        "features": cfg.quality.features,
        "reference": cfg.reference,
        "n": n,
        "seed": cfg.quality.seed,
        "weights": cfg.weights,
        "software": {name: version(name) for name in ("torch", "torchmetrics", "torch-fidelity")},
        "machine": describe_machine(cfg.device),
    }


def _write(
    result: Evaluation,
    judged: list[Judged],
    looks: dict[str, Look],
    sheets: dict[str, dict[str, bytes]],
    protocol: dict[str, Any],
    spec: DataSpec,
) -> None:
    """Write tables, plots and sheets, and the same into TensorBoard."""
    folder, columns = result
    plots = {"overview.png": overview(columns, FLOOR, spec.class_names)}
    tables = {name: confusion(looked) for name, looked in looks.items() if looked.logits.shape[1] == spec.num_classes}
    if tables:
        plots["confusion.png"] = confusion_matrices(tables, spec.class_names)
    content = {
        "protocol": protocol,
        "floor": columns[FLOOR],
        "floor_confusion": tables[FLOOR].tolist() if tables else None,
        "judged": [
            {
                "name": entry.name,
                "source": entry.source,
                **described(entry),
                "values": columns[entry.name],
                "confusion": tables[entry.name].tolist() if tables else None,
            }
            for entry in judged
        ],
    }
    write_file(folder / "evaluation.json", (json.dumps(content, indent=2) + "\n").encode())
    write_file(folder / "evaluation.csv", csv_table(columns).encode())
    pictures = {f"{name}/{file}": png for name, drawn in sheets.items() for file, png in drawn.items()} | plots
    for file, png in pictures.items():
        write_file(folder / file, png)
    for entry in judged:
        _log(folder, entry, columns, protocol, {**sheets[entry.name], **plots})


def _log(folder: Path, entry: Judged, columns: Columns, protocol: dict[str, Any], pictures: dict[str, bytes]) -> None:
    """Give each column a run of its own in TensorBoard: its values, its line among the HParams, its pictures."""
    board = TensorBoard(save_dir=folder, name="tensorboard", version=entry.name, default_hp_metric=False)
    values, floor = columns[entry.name], columns[FLOOR]
    board.log_metrics({f"quality/{tag}": value for tag, value in values.items()}, step=0)
    board.log_metrics({f"floor/{tag}": value for tag, value in floor.items()}, step=0)
    words = {
        key: value for key, value in {**protocol, **described(entry)}.items() if isinstance(value, int | float | str)
    }
    whole = {f"hp/{tag}": value for tag, value in values.items() if "/" not in tag}
    board.log_hyperparams({"name": entry.name, "source": entry.source, **words}, whole)
    for file, png in pictures.items():
        board.experiment.add_image(
            file.removesuffix(".png"), np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), 0, dataformats="HWC"
        )
    board.finalize("success")
