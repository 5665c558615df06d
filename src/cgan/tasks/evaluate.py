"""Evaluation: from generators and images to numbers, tables, plots and image grids, beside real test images."""

import io
import logging
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm  # in a notebook, a notebook's bar

from cgan.data.build import build_source
from cgan.data.pictures import looks_changed
from cgan.data.sources import Split
from cgan.errors import CganError, check_choice, check_whole
from cgan.files import write_file
from cgan.hardware import check_device, describe_hardware
from cgan.metrics.cache import cached_features
from cgan.metrics.features import Extractor, Features, extract, in_class_shares, labels_of_samples
from cgan.metrics.labels import confusion
from cgan.metrics.metric import Metric, RealImages
from cgan.metrics.suite import Measured, Suite
from cgan.plugins import load_plugins
from cgan.records.evaluation import FILE, REAL, Entry, EvaluationRecord, write_evaluation
from cgan.reporting.image_grids import (
    class_grid,
    extremes_grid,
    interpolation_grid,
    neighbours_grid,
    style_grid,
)
from cgan.reporting.plots import confusion_matrices, overview
from cgan.reporting.table import MAX_CLASSES, csv_table, text_table
from cgan.sampling import formats
from cgan.sampling.draw import check_truncation, render
from cgan.sampling.grids import drawable
from cgan.sampling.noise import latents
from cgan.sampling.styles import truncate
from cgan.spec import MAX_SHOWN, DataSpec
from cgan.tasks.candidates import Candidate, collect, folder_as_data
from cgan.tracking import TensorBoard, written_into

log = logging.getLogger(__name__)
GRID_ROWS = 10
DEFAULT_N = 10_000
FEW = 100
"""Samples below which a table comes with a warning."""
SOFTWARE = ("torch", "torchmetrics", "torch-fidelity")


class Evaluation(NamedTuple):
    """What an evaluation leaves: all values, and ``folder``, which holds them with tables, plots and image grids."""

    folder: Path
    record: EvaluationRecord

    @property
    def values(self) -> dict[str, float]:
        """The values of the first generator, or images, by name."""
        return self.record.entries[0].values

    @property
    def real_values(self) -> dict[str, float]:
        """The same values of held-out real images."""
        return self.record.real.values


def run(cfg: DictConfig) -> Evaluation:
    """Evaluate what ``cfg`` names and write everything into the folder of this job.

    Raises:
        CganError: A request cannot be met or an input is not sound; found out before any long work.
    """
    load_plugins(cfg.plugins)
    _refuse_requests(cfg)
    source = build_source(cfg.data) if cfg.images2 is None else folder_as_data(str(cfg.images2))
    spec: DataSpec = source.spec
    extractor: Extractor = instantiate(cfg.features)
    extractor.check(spec)
    metrics: dict[str, Metric] = instantiate(cfg.metrics, _convert_="all")
    folder = Path(HydraConfig.get().runtime.output_dir)
    candidates = collect(cfg, spec, folder)
    source.prepare()
    splits: dict[str, Split] = {"train": source.load("train"), "test": source.load("test")}
    extractor = extractor.fitted(spec, splits["train"], splits["test"], cfg.device)
    reference, held_out = splits[cfg.reference], splits["train" if cfg.reference == "test" else "test"]
    n = _number(cfg.n, len(held_out.labels), candidates)
    with tqdm(total=(len(candidates) + 1) * len(metrics), unit="step", dynamic_ncols=True) as bar:
        bar.set_description("reading real images")
        known, unseen = (cached_features(extractor, *split) for split in (reference, held_out))
        suite = Suite(extractor, metrics, RealImages(known, unseen, n, cfg.reference))
        bar.total = (len(candidates) + 1) * len(suite.metrics)
        examined = [_examined(candidate, suite, spec, cfg, bar) for candidate in candidates]
        bar.set_description(REAL)
        real = _filled(Entry(REAL), suite.real, suite.real_images.samples, suite)
        bar.update(len(suite.metrics))
    protocol = suite.protocol(spec.name, cfg.seed, cfg.weights, float(cfg.truncation))
    software = {name: version(name) for name in SOFTWARE}
    about = (suite.descriptions, list(spec.class_names), software, describe_hardware(cfg.device), suite.accuracy)
    record = EvaluationRecord(protocol, real, [one.entry for one in examined], *about)
    with written_into(folder):
        _write(folder, record, [one.grids for one in examined])
    log.info("\n%s\n\n%s\n", record.protocol, text_table(record))
    if n < FEW:
        log.warning(
            "Warning: %s samples are few: shares come in steps of 1/%s, and most values vary with the seed", n, n
        )
    _warn_of_changed(candidates, reference)
    log.info("Written: %s", folder)
    return Evaluation(folder, record)


def _warn_of_changed(candidates: list[Candidate], reference: Split) -> None:
    """Say which images look like the real ones after a change, such as an inversion."""
    for candidate in candidates:
        if candidate.images and (change := looks_changed(candidate.images, reference)):
            log.warning(
                "images=%s: they look %s, compared to the real images; the values are of the images as they are",
                candidate.entry.source,
                change,
            )


class _Examined(NamedTuple):
    """A candidate's values, and the image grids that explain them, by file name."""

    entry: Entry
    grids: dict[str, bytes]


def _examined(candidate: Candidate, suite: Suite, spec: DataSpec, cfg: DictConfig, bar: tqdm) -> _Examined:
    """Draw and measure a candidate; the bar moves with each metric."""
    name = candidate.entry.name

    def done(metric: str) -> None:
        bar.set_description(f"{name}: {metric}", refresh=False)
        bar.update()

    bar.set_description(f"{name}: drawing")
    images, labels = _drawn(candidate, spec, suite.real_images.reference.labels, suite.real_images.n, cfg)
    samples = extract(suite.extractor, images, labels, cfg.batch_size)
    entry = _filled(candidate.entry, suite.measure(samples, done), samples, suite)
    bar.set_description(f"{name}: image grids")
    return _Examined(entry, _grids(candidate, samples, suite.real_images.train, cfg, spec))


def _drawn(candidate: Candidate, spec: DataSpec, reference: Tensor, n: int, cfg: DictConfig) -> Split:
    """Draw the ``n`` images that a generator is measured by, in the shares of the reference, or choose images."""
    if candidate.images is not None:
        chosen = in_class_shares(candidate.images.labels, n)
        return Split(candidate.images.images[chosen], candidate.images.labels[chosen])
    assert candidate.generator is not None
    labels = labels_of_samples(spec, reference, n, cfg.seed)
    z = latents(labels, candidate.generator.z_dim, cfg.seed)
    chosen = truncate(candidate.generator, z, labels, cfg.truncation)
    return Split(render(candidate.generator, chosen, labels, cfg.batch_size), labels)


def _filled(entry: Entry, measured: Measured, samples: Features, suite: Suite) -> Entry:
    shown = suite.extractor.classes == "data" and samples.logits.shape[1] <= MAX_CLASSES
    table = confusion(samples).tolist() if shown else []
    return replace(entry, values=measured.values, class_values=measured.class_values, confusion=table)


def _number(requested: int | None, held_out: int, candidates: list[Candidate]) -> int:
    """Return how many of each are measured; those of real images are never more than are held out."""
    found = {f"images={one.entry.source}": len(one.images.labels) for one in candidates if one.images}
    for source, count in {"held-out real images": held_out, **found}.items():
        if count < 2:
            raise CganError(f"{source}: 2 or more are needed, found {count}; give more")
    if requested is None:
        return min(DEFAULT_N, held_out, *found.values())
    if found and requested > (most := min(found.values())):
        fewest = min(found, key=lambda source: found[source])
        raise CganError(f"{fewest}: {requested} images are needed, found {most}; set n={most} or give more")
    if requested > held_out:
        log.info("Real images: %s, as many as are held out; samples: %s", f"{held_out:,}", f"{requested:,}")
    return requested


def _refuse_requests(cfg: DictConfig) -> None:
    if cfg.n is not None:
        check_whole("n", cfg.n, 2)
    check_whole("seed", cfg.seed, 0)
    check_whole("batch_size", cfg.batch_size, 1)
    check_truncation(cfg.truncation)
    check_choice("weights", cfg.weights, ("ema", "raw"))
    check_choice("reference", cfg.reference, ("train", "test"))
    for name in ("features", "metrics"):
        if not cfg.get(name):
            raise CganError(f"{name}: nothing is chosen; leave it out for the default")
    if cfg.images2 is not None and cfg.images is None and cfg.ckpt is None and cfg.runs is None:
        raise CganError(f"images2={cfg.images2}: name what is compared with it, such as images=FOLDER")
    check_device(cfg.device)


def _grids(
    candidate: Candidate, samples: Features, train: Features, cfg: DictConfig, spec: DataSpec
) -> dict[str, bytes]:
    """Draw the image grids that explain the values of one candidate, by file name."""
    every = drawable(spec.class_names)
    drawn = samples.labels.unique().tolist()
    shown = [label for label in spec.shown_labels() if label in drawn] or drawn[:MAX_SHOWN]  # few samples, many classes
    names = {label: every[label] for label in shown}
    grids = {"neighbours.png": neighbours_grid(samples, train, names)}
    if samples.logits.shape[1] == spec.num_classes:
        grids["extremes.png"] = extremes_grid(samples, names)
    if candidate.generator is not None:
        look = {"seed": cfg.seed, "truncation": cfg.truncation}
        grids["samples.png"] = style_grid(candidate.generator, names, rows=GRID_ROWS, **look)
        grids["interpolation.png"] = interpolation_grid(candidate.generator, names, **look)
    else:
        grids["samples.png"] = class_grid(samples, names, rows=GRID_ROWS)
    return {name: formats.png(grid) for name, grid in grids.items()}


def _write(folder: Path, record: EvaluationRecord, grids: list[dict[str, bytes]]) -> None:
    """Write tables, plots and image grids, the same into TensorBoard, and at last the record: then it is complete."""
    write_file(folder / "evaluation.csv", csv_table(record).encode())
    plots = {"overview.png": overview(record)}
    if matrices := confusion_matrices(record):
        plots["confusion.png"] = matrices
    for file, png in plots.items():
        write_file(folder / file, png)
    for entry, drawn in zip(record.entries, grids, strict=True):
        for file, png in drawn.items():
            write_file(folder / entry.name / file, png)
        _log(folder, record, entry, {**drawn, **plots})
    write_evaluation(folder / FILE, record)


def _log(folder: Path, record: EvaluationRecord, entry: Entry, images: dict[str, bytes]) -> None:
    """Give each candidate a run of its own in TensorBoard: its values, its line among the HParams, its images."""
    board = TensorBoard(save_dir=folder, name="tensorboard", version=entry.name, default_hp_metric=False)
    values = {record.protocol.tag(name): value for name, value in entry.values.items()}
    real = {record.protocol.tag(name): value for name, value in record.real.values.items()}
    board.log_metrics({f"quality/{tag}": value for tag, value in values.items()}, step=0)
    board.log_metrics({f"real/{tag}": value for tag, value in real.items()}, step=0)
    known = {**vars(record.protocol), **vars(entry)}
    plain = {key: value for key, value in known.items() if isinstance(value, int | float | str)}
    board.track_result(plain, values)
    for file, png in images.items():
        board.track_image(file.removesuffix(".png"), Image.open(io.BytesIO(png)).convert("RGB"), 0)
    board.finalize("success")
