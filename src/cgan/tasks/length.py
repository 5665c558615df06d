"""The length of a run in images: ``max_images``, or what training and metrics can do here in the time of ``budget``."""

import logging
import math
import re
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from omegaconf import DictConfig, OmegaConf, open_dict

from cgan.checkpoint import read_description
from cgan.config import typed_keys
from cgan.data.datamodule import ImageData
from cgan.errors import CganError
from cgan.tasks.resume import LENGTHS

log = logging.getLogger(__name__)
SECONDS = {"s": 1, "min": 60, "h": 3600}
WARM_UP = 2
"""Chunks of batches that do not count: memory is allocated and a step may be compiled."""
COUNTED, SHARE, MOST = 3, 0.02, 60.0
"""How much counts: at least so many chunks, as many as fit into this share of the budget and so many seconds."""
MARGIN = 1.5
"""What is advised, as a multiple of the shortest time: the next measurement may be slower, and takes its share."""
WATCHED = ("curves", "sample_grid")
"""The callbacks that take time at the end of an epoch."""


class Pace(NamedTuple):
    """Seconds on this machine.

    Attributes:
        step: A training step.
        epoch: The end of an epoch: image grid, curves, checkpoint.
        evaluating: What evaluating takes at most beside so many seconds of training in so many epochs.
        spent: What it took to measure these, with the features' classifier, which is trained once.
    """

    step: float
    epoch: float
    evaluating: Callable[[float, int], float]
    spent: float

    def steps_within(self, seconds: float, steps_per_epoch: int) -> int:
        """Return the largest number of training steps that end, with all that stands beside them, in time; 0: none.

        Args:
            seconds: The time.
            steps_per_epoch: Steps in a pass over the data.
        """

        def needed(steps: int) -> float:
            return self.seconds_for(steps, steps_per_epoch)

        return bisect_right(range(1, int(seconds / self.step) + 1), seconds, key=needed)

    def seconds_for(self, steps: int, steps_per_epoch: int) -> float:
        """Return how long so many training steps take, with all that stands beside them and was spent before."""
        epochs = -(-steps // steps_per_epoch)
        training = steps * self.step
        return self.spent + training + epochs * self.epoch + self.evaluating(training, epochs)


Measure = Callable[[DictConfig, ImageData, float], Pace]
"""Finds out the pace of a configuration on some data by about so many seconds of training."""


def keep_typed_length(cfg: DictConfig) -> None:
    """Let a length that is typed take the place of the preset's, in whichever of the three ways either is said."""
    typed = typed_keys() & set(LENGTHS)
    given = [key for key in LENGTHS if key in typed and OmegaConf.select(cfg, key) is not None]
    if unused := given[1:]:
        log.warning("Warning: %s says how long the run is; %s counts for nothing", given[0], " and ".join(unused))
    if typed:
        for key in {"max_images", "budget"} - typed:
            OmegaConf.update(cfg, key, None)


def length_in_images(cfg: DictConfig, data: ImageData, checkpoint: str | Path | None, measure: Measure) -> int | None:
    """Return the length of the run, or None where ``trainer.max_epochs`` says it.

    Raises:
        CganError: ``budget`` is no time, or too short a time.
    """
    if cfg.max_images is not None:
        return int(cfg.max_images)
    if cfg.budget is None:
        return None
    seconds = seconds_of(cfg.budget)
    if checkpoint and (images := read_description(Path(checkpoint)).get("images_total")):
        log.info("Length: %s images, as at the start of the run; max_images= changes it", f"{images:,}")
        return images
    log.info("budget=%s: a short training measures the speed of this machine", cfg.budget)
    data.prepare_data()
    pace = measure(cfg, data, min(SHARE * seconds, MOST))
    steps_per_epoch = max(len(data.train.labels) // data.batch_size, 1)
    steps = pace.steps_within(seconds, steps_per_epoch)
    if steps == 0:
        least = pace.seconds_for(1, steps_per_epoch)
        raise CganError(
            f"budget={cfg.budget}: one training step with metrics and grids takes {least:.0f} s here; "
            f"give budget={math.ceil(MARGIN * least)}s or more"
        )
    epochs = -(-steps // steps_per_epoch)  # of equal length, so that some steps are left out
    images = math.prod(equal_epochs(epochs * (steps // epochs), steps_per_epoch)) * data.batch_size
    log.info(
        "Length: %s images at %s images/s, so that training and metrics end within %s; max_images=%d is the same run "
        "on any machine", f"{images:,}", f"{data.batch_size / pace.step:,.0f}", cfg.budget, images,
    )  # fmt: skip
    return images


def seconds_of(time: str) -> float:
    """Read a time such as ``90s``, ``10min`` or ``1.5h``.

    Raises:
        CganError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|h)", str(time))
    if not found or not float(found[1]):
        raise CganError(f"budget={time}: expected a time such as 90s, 10min or 2h")
    return float(found[1]) * SECONDS[found[2]]


def set_length(trainer: pl.Trainer, data: ImageData, images: int | None, images_per_epoch: int | None) -> None:
    """Let a trainer stop after ``images``, rounded up; None: after its ``max_epochs``.

    Epochs are of equal length, each at most a pass over the data. A resumed run keeps its ``images_per_epoch``: with
    others the epochs that are done would count for too many images, or too few.
    """
    if images is None and (images_per_epoch is None or data.steps_per_epoch is not None):
        return
    data.prepare_data()
    global_batch = data.batch_size * trainer.world_size
    longest = max(len(data.train.labels) // global_batch, 1)
    longest = min(longest, data.steps_per_epoch or longest)  # of trainer.limit_train_batches
    if images_per_epoch:
        data.steps_per_epoch = min(max(images_per_epoch // global_batch, 1), longest)
    if images is not None:
        steps = -(-images // global_batch)
        if not images_per_epoch:
            _, data.steps_per_epoch = equal_epochs(steps, longest)
        assert data.steps_per_epoch is not None
        trainer.fit_loop.max_epochs = -(-steps // data.steps_per_epoch)


def equal_epochs(steps: int, longest: int) -> tuple[int, int]:
    """Divide training steps, rounded up, into epochs of equal length: how many, and steps in each."""
    epochs = -(-steps // longest)
    return epochs, -(-steps // epochs)


class Stopwatch(Checkpoint):
    """End a short training after some seconds, and keep what its parts took from now on.

    A kind of ``Checkpoint`` because Lightning calls these after all others.

    Args:
        seconds: The time to train for, at least.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._chunks = self._steps = 0
        self._training = 0.0
        self._started_at = self._read_at = self._ended_at = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave out what stands between epochs."""
        self._read_at = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the time of a chunk; make this epoch the last one when enough of them were seen."""
        float(outputs["d_loss"])  # waits for the device
        before, self._read_at = self._read_at, time.perf_counter()
        self._chunks += 1
        if self._chunks > WARM_UP:
            self._training += self._read_at - before
            self._steps += len(batch[1])
        if self._chunks >= WARM_UP + COUNTED and self._training >= self.seconds:
            trainer.should_stop, trainer.fit_loop.max_epochs = True, trainer.current_epoch + 1

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the clock."""
        self._ended_at = time.perf_counter()

    def pace(self, evaluated: float, evaluating: Callable[[float, int], float]) -> Pace:
        """Return what was found.

        Args:
            evaluated: Seconds of the one evaluation.
            evaluating: See :class:`Pace`.
        """
        epoch = self._ended_at - self._read_at - evaluated
        return Pace(self._training / self._steps, epoch, evaluating, self._ended_at - self._started_at)


@contextmanager
def short_run(cfg: DictConfig) -> Iterator[DictConfig]:
    """Give a configuration of the same training whose files are thrown away, and which says only what takes minutes."""
    short = deepcopy(cfg)
    level = logging.getLogger().level
    logging.getLogger("cgan.metrics.own").setLevel(level)
    with tempfile.TemporaryDirectory() as folder, open_dict(short):
        short.trainer.update({"default_root_dir": folder, "max_epochs": 10**6, "enable_progress_bar": False})
        short.callbacks = {name: cfg.callbacks[name] for name in WATCHED if name in cfg.callbacks}
        short.logger = {}
        if "every_n_epochs" in (cfg.quality or {}):
            short.quality.every_n_epochs = 10**6  # after the last alone
        logging.getLogger().setLevel(logging.WARNING)
        try:
            yield short
        finally:
            logging.getLogger().setLevel(level)
            logging.getLogger("cgan.metrics.own").setLevel(logging.NOTSET)
