"""How good the samples are, by the same metrics as evaluate.py, beside the same numbers for real test images."""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.callbacks.protocol import GAN, gan
from cgan.checkpoint import read_description
from cgan.data.datamodule import ImageData
from cgan.data.sources import Split
from cgan.errors import CganError, check_share, check_whole, printable
from cgan.hardware import describe_hardware
from cgan.metrics.cache import cache_path, keep_features, read_features
from cgan.metrics.features import Extractor, Features, extract, labels_of_samples
from cgan.metrics.metric import Metric, RealImages
from cgan.metrics.suite import Measured, Suite
from cgan.metrics.values import SCORE, describe
from cgan.records.evaluation import FILE, REAL, CurvePoint, Entry, EvaluationRecord, write_evaluation
from cgan.records.layout import BEST, CHECKPOINTS, LAST
from cgan.sampling.draw import render
from cgan.sampling.noise import latents
from cgan.tracking import log_charts, log_text, log_values

log = logging.getLogger(__name__)
EVALUATED = "evaluated_epoch"
"""The metric that tells other callbacks, by ``trainer.callback_metrics``, in which epoch quality was evaluated last."""
FREE_SECONDS = 60
"""What evaluating may take whatever its share: short runs are evaluated as often as they ask for."""


class Evaluated(NamedTuple):
    """One evaluation of the run; ``seconds`` are of training alone until then."""

    point: CurvePoint
    class_values: dict[str, list[float | None]]
    seconds: float


class Quality(pl.Callback):
    """Evaluate samples of the averaged generator against the training split, beside images of the test split.

    Loggers get ``quality/TAG`` and ``real/TAG``; other callbacks get the values by name in
    ``trainer.callback_metrics``, those of real images as ``real/NAME``; the run folder gets ``evaluation.json`` with
    the values of the best epoch and the curve of all epochs. On several devices each draws and reads its share of the
    images; the values are those of one process, to rounding.

    Args:
        features: The extractor.
        metrics: By name.
        n: Samples per evaluation; at most as many as the test split has images, so that both are for the same n.
        every_n_epochs: Distance of two evaluations; the last epoch is always evaluated.
        max_share: An evaluation that would take evaluating above this share of the run's time, and above a minute in
            all, is left out; the last epoch's never is.
        seed: Seed of the samples.
    """

    def __init__(
        self,
        features: Extractor,
        metrics: Mapping[str, Metric],
        n: int,
        every_n_epochs: int,
        seed: int,
        max_share: float = 0.1,
    ) -> None:
        if not isinstance(metrics, Mapping):
            raise CganError(f"quality.metrics={metrics}: metrics are chosen by metrics=[...]")
        check_whole("quality.n", n, 2)
        check_whole("quality.every_n_epochs", every_n_epochs, 1)
        check_whole("quality.seed", seed, 0)
        check_share("quality.max_share", max_share, above=True)
        self.extractor = features
        self.metrics = metrics
        self.n = n
        self.every_n_epochs = every_n_epochs
        self.max_share = max_share
        self.seed = seed
        self.history: list[Evaluated] = []
        self.best: Evaluated | None = None  # by the Fréchet distance, else the last one
        self._protocol_before: dict[str, Any] | None = None
        self._seconds = {"training": 0.0, "evaluating": 0.0}
        self._epoch_started_at: float | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, ImageData)
        if (held_out := len(data.test.labels)) < 2:
            raise CganError(
                f"quality is measured on 2 or more held-out images, found {held_out}; give more images, or a larger "
                "data.test_share, or go on with quality=none"
            )
        self.extractor = self.extractor.fitted(data.spec, data.train, data.test, pl_module.device)
        reference, test = self._real_features(trainer, data.train), self._real_features(trainer, data.test)
        self.suite = Suite(self.extractor, self.metrics, RealImages(reference, test, min(self.n, len(test.labels))))
        self.labels = labels_of_samples(data.spec, reference.labels, self.suite.real_images.n, self.seed)
        self.protocol = self.suite.protocol(data.spec.name, self.seed)
        if self._protocol_before not in (None, asdict(self.protocol)):
            self.history = []  # measured otherwise before the resumption: not comparable
            self._seconds["evaluating"] = 0.0  # nor is how long that took
        self.best = trainer.strategy.broadcast(self._kept(Path(trainer.default_root_dir)))
        tags = {describe(name).title: self.protocol.tag(name) for name in self.suite.real.values}
        charts = {title: [f"quality/{tag}", f"real/{tag}"] for title, tag in tags.items()}
        log_text(pl_module, "values", self._card())
        log_charts(pl_module, "Quality of samples (quality/), beside real test images (real/)", charts)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock also where a resumed run goes on within an epoch, whose start has been."""
        self._epoch_started_at = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_started_at = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seconds["training"], self._epoch_started_at = self._training_seconds(), None
        epoch = trainer.current_epoch + 1
        if not trainer.strategy.broadcast(self.due(epoch, trainer.max_epochs)):
            return
        start, module = time.perf_counter(), gan(pl_module)
        # One process's rounding decides for all, so that they agree on which checkpoint is the best.
        measured: Measured = trainer.strategy.broadcast(self.suite.measure(self._sample_features(trainer, module)))
        seconds = time.perf_counter() - start
        self._seconds["evaluating"] += seconds
        point = CurvePoint(module.images_seen, measured.values, epoch, round(sum(self._seconds.values()), 3))
        evaluated = Evaluated(point, measured.class_values, round(self._seconds["training"], 3))
        self.history.append(evaluated)
        if self._is_best(point):
            self.best = evaluated
        self._forget_classes()
        self._log(pl_module, measured, epoch, seconds)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            hardware = describe_hardware(pl_module.device, trainer.world_size)
            write_evaluation(folder / FILE, self.record(folder.name, module, hardware))

    def due(self, epoch: int, max_epochs: int | None) -> bool:
        """Whether an epoch is the last, or its turn has come and one more evaluation keeps within the share."""
        if epoch % self.every_n_epochs or epoch == max_epochs:
            return epoch == max_epochs
        evaluating = self._seconds["evaluating"] + self.mean_seconds
        return evaluating <= max(FREE_SECONDS, self.max_share * (self._seconds["training"] + evaluating))

    def most_seconds(self, training: float, epochs: int) -> float:
        """Return what evaluating takes at most in a run, with the last epoch and the real images, by what it took here.

        Args:
            training: Seconds of training in that run.
            epochs: Number of its epochs.
        """
        allowed = max(FREE_SECONDS, training * self.max_share / max(1 - self.max_share, 1e-9))
        return min(self.mean_seconds * (epochs // self.every_n_epochs), allowed) + 2 * self.mean_seconds

    @property
    def mean_seconds(self) -> float:
        """The time of one evaluation."""
        return self._seconds["evaluating"] / max(len(self.history), 1)

    @property
    def share(self) -> float:
        """The share of the run's time that went to evaluating; that of the real images, once, is not counted."""
        return self._seconds["evaluating"] / max(sum(self._seconds.values()), 1e-9)

    def record(self, name: str, module: GAN, hardware: str) -> EvaluationRecord:
        """Return the run's evaluation record; its values are those of the best epoch."""
        best, generator = self.best, module.ema.generator
        assert best is not None
        entry = Entry(
            printable(name),
            best.point.values,
            best.class_values,
            file=f"{CHECKPOINTS}/{BEST if SCORE in best.point.values else LAST}",
            network=type(generator).__name__,
            parameters=sum(weight.numel() for weight in generator.parameters()),
            trained_on=module.spec.name,
            images_seen=best.point.images_seen,
            epoch=best.point.epoch,
            seconds=best.seconds,
            hardware=hardware,
            curve=[evaluated.point for evaluated in self.history],
        )
        real = Entry(REAL, *self.suite.real)
        return EvaluationRecord(
            self.protocol,
            real,
            [entry],
            self.suite.descriptions,
            list(module.spec.class_names),
            hardware=hardware,
            features_accuracy=self.suite.accuracy,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all values so far: the best epoch of a resumed run may lie before the interruption."""
        return {
            "history": [{**entry._asdict(), "point": asdict(entry.point)} for entry in self.history],
            "protocol": asdict(self.protocol),
            "seconds": {**self._seconds, "training": self._training_seconds()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = [Evaluated(**{**one, "point": CurvePoint(**one["point"])}) for one in state_dict["history"]]
        self._protocol_before, self._seconds = state_dict["protocol"], dict(state_dict["seconds"])

    def _kept(self, folder: Path) -> Evaluated | None:
        """Return the evaluation of what ``best.ckpt`` holds, if that is of this run's past.

        It is not where a run goes on in another folder or from before its best epoch; the best is then still to come.
        """
        with suppress(CganError):  # there is none, or it is damaged
            kept = read_description(folder / CHECKPOINTS / BEST)["images_seen"]
            return next((entry for entry in self.history if entry.point.images_seen == kept), None)
        return None

    def _is_best(self, point: CurvePoint) -> bool:
        """Whether an epoch has the smallest Fréchet distance so far; without distances the last one is the best."""
        best = self.best.point.values.get(SCORE) if self.best else None
        return best is None or point.values.get(SCORE, math.inf) < best

    def _forget_classes(self) -> None:
        """Keep the values of each class for the best epoch and the last alone: every checkpoint holds the history."""
        assert self.best is not None
        shown = (self.best.point.images_seen, self.history[-1].point.images_seen)
        self.history = [
            one if one.point.images_seen in shown else one._replace(class_values={}) for one in self.history
        ]

    def _card(self) -> str:
        """Say in Markdown what each value means: for a logger's page of texts."""
        entries = [(self.protocol.tag(name), self.suite.descriptions[name]) for name in self.suite.real.values]
        rows = [f"| `{tag}` | {entry.title} | {entry.sentence} | {entry.advice} |" for tag, entry in entries]
        return "\n".join(["| Tag | Value | Meaning | |", "| --- | --- | --- | --- |", *rows])

    def _training_seconds(self) -> float:
        running = 0.0 if self._epoch_started_at is None else time.perf_counter() - self._epoch_started_at
        return self._seconds["training"] + running

    def _log(self, pl_module: pl.LightningModule, measured: Measured, epoch: int, seconds: float) -> None:
        """Send tags to the loggers, and values by name to the other callbacks."""
        tags = {f"quality/{self.protocol.tag(name)}": value for name, value in measured.values.items()}
        tags |= {f"real/{self.protocol.tag(name)}": value for name, value in self.suite.real.values.items()}
        log_values(pl_module, {**tags, "time/quality_s": seconds, "time/quality_share": self.share})
        values = measured.flat() | {f"real/{name}": value for name, value in self.suite.real.flat().items()}
        for name, value in {**values, EVALUATED: float(epoch)}.items():
            pl_module.log(name, value, logger=False)

    def _sample_features(self, trainer: pl.Trainer, module: GAN) -> Features:
        z = latents(self.labels, module.ema.generator.z_dim, self.seed)
        share = share_of_rank(len(self.labels), trainer)
        images = render(module.ema.generator, z[share], self.labels[share])
        return gathered(extract(self.extractor, images, self.labels[share]), len(self.labels), trainer)

    def _real_features(self, trainer: pl.Trainer, split: Split) -> Features:
        path = cache_path(self.extractor, split.images)
        found = read_features(path, *split)
        if not trainer.strategy.reduce_boolean_decision(found is not None, all=True):
            share, count = share_of_rank(len(split.labels), trainer), len(split.labels)
            log.info("Extracting features of %s real images, once: they are kept for the next run", f"{count:,}")
            part = extract(self.extractor, split.images[share], split.labels[share])
            # Every rank has the images: they can be many gigabytes, and need not be sent.
            own = gathered(part._replace(images=part.labels), count, trainer)
            found = own._replace(labels=split.labels, images=split.images)
            if trainer.is_global_zero:
                keep_features(path, found)
        assert found is not None
        return found


def share_of_rank(count: int, trainer: pl.Trainer) -> Tensor:
    """Return which of ``count`` images this rank reads: every world-size-th, wrapped so that all ranks have as many."""
    world = trainer.world_size
    rounds = -(-count // world)
    return (torch.arange(rounds) * world + trainer.global_rank) % count


def gathered(share: Features, count: int, trainer: pl.Trainer) -> Features:
    """Put the ranks' shares of ``count`` images together, in the images' own order."""
    if trainer.world_size == 1:
        return share
    device = trainer.strategy.root_device
    columns = (trainer.strategy.all_gather(column.to(device)).cpu() for column in share)  # (world, rounds, ...)
    return Features(*(column.transpose(0, 1).flatten(0, 1)[:count] for column in columns))
