"""Training: from a configuration to a run folder."""

import logging
import os
import shlex
import signal
import socket
import time
import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from cgan.callbacks.checkpoints import LastCheckpoint
from cgan.callbacks.quality import Quality
from cgan.callbacks.signals import Signals
from cgan.callbacks.status import Status
from cgan.checkpoint import load_generator, read_description
from cgan.commands import command, installed
from cgan.data.datamodule import ImageData
from cgan.errors import CganError, check_whole, printable
from cgan.hardware import look_for_gpus_once
from cgan.metrics.values import SCORE, beside_real
from cgan.module import ConditionalGAN
from cgan.networks.base import Generator
from cgan.plugins import load_plugins, typed_config_dir, typed_plugins
from cgan.records.layout import CHECKPOINTS, run_of
from cgan.records.run import RunRecord, read_run
from cgan.sampling.draw import draw
from cgan.sampling.grids import drawable, image_grid
from cgan.seeding import mix
from cgan.tasks.build import build_data, build_loggers, build_module, build_trainer, optional
from cgan.tasks.faults import clear_errors
from cgan.tasks.length import Pace, Stopwatch, keep_typed_length, length_in_images, set_length, short_run
from cgan.tasks.parts import drop_values_of_another, refuse_without_class
from cgan.tasks.resume import first_checkpoint
from cgan.tasks.start_values import AUTO, Chosen, choose_for_length, choose_start_values
from cgan.tracking import JsonLines, log_result, written_into

log = logging.getLogger(__name__)
PARTS = ("generator", "discriminator")
SECTIONS = ("seed", "run_name", "gan", "model", "penalty", "regulariser", "optimizer", "schedule")


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes:
        folder: The run folder: checkpoints, images, curves, logs.
        values: What was measured at the best epoch, by name; empty with ``quality=none``.
        real_values: The same values of held-out real images.
        quality_share: The share of the run's time that went to evaluating.
        epoch: The best epoch, counted from 1; None with ``quality=none``.
    """

    folder: Path
    values: dict[str, float] = field(default_factory=dict)
    real_values: dict[str, float] = field(default_factory=dict)
    quality_share: float = 0.0
    epoch: int | None = None

    @property
    def score(self) -> float | None:
        """The best Fréchet distance: what a sweep minimises."""
        return self.values.get(SCORE)

    @cached_property
    def generator(self) -> Generator:
        """The averaged generator of the best epoch (of the last one with ``quality=none``), ready for ``draw``."""
        return load_generator(self.folder)

    def grid(self, n: int = 10, seed: int = 0) -> Image.Image:
        """Draw a row of ``n`` images of each class."""
        spec = self.generator.spec
        assert spec is not None
        labels = torch.tensor(shown := spec.shown_labels()).repeat_interleave(n)
        every = drawable(spec.class_names)
        return image_grid(draw(self.generator, labels, seed=seed), n, row_names=[every[label] for label in shown])


def run(cfg: DictConfig) -> Run:
    """Train as configured, or go on from ``cfg.ckpt``.

    Raises:
        CganError: Something in the configuration, the data or the checkpoint does not fit; the message says what.
    """
    load_plugins(cfg.plugins)
    keep_typed_length(cfg)
    drop_values_of_another(cfg)
    check_whole("seed", cfg.seed, 0)
    if cfg.trainer.max_epochs not in (-1, AUTO):  # -1: without end
        check_whole("trainer.max_epochs", cfg.trainer.max_epochs, 1)
    if cfg.max_images is not None:
        check_whole("max_images", cfg.max_images, 1)
    quiet_lightning()
    look_for_gpus_once()
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        logging.getLogger().setLevel(logging.ERROR)  # one log, whichever way the processes were started
    folder = Path(cfg.trainer.default_root_dir)
    checkpoint = first_checkpoint(cfg.ckpt, folder)
    record = run_record(cfg)
    choices = None
    if checkpoint and (before := read_run(trained := run_of(Path(checkpoint)))):
        choices = choose_start_values(cfg)
        _refuse_finished(trained, before, Path(checkpoint), cfg)
        _refuse_shorter(Path(checkpoint), cfg)
        if trained.resolve() == folder.resolve():
            record = replace(record, loggers=before.loggers)
    with Status(folder, record, checkpoint) as status, clear_errors(cfg, checkpoint), written_into(folder):
        choices = choices or choose_start_values(cfg)
        if preset := HydraConfig.get().runtime.choices.get("experiment"):
            log.info("Preset: experiment=%s", preset)
        if choices and choices.lines:
            log.info(choices.lines)
        result = _run(cfg, choices, checkpoint, status)
        status.write(score=result.score)
    return result


def _run(cfg: DictConfig, choices: Chosen | None, checkpoint: str | Path | None, status: Status) -> Run:
    folder, data = status.folder, build_data(cfg, choices and choices.source)
    before = read_description(Path(checkpoint)) if checkpoint else {}
    resumed_at = before.get("images_seen", 0)
    refuse_without_class(cfg)
    images = length_in_images(cfg, data, checkpoint, measured_pace)
    if images is not None and cfg.max_images is None and choices and (lines := choose_for_length(cfg, choices, images)):
        log.info(lines)
    pl.seed_everything(mix(cfg.seed) % 2**32, verbose=False)
    module = build_module(cfg, data.spec)
    if resumed_at:
        log.info("Continuing from %s, after %s images", checkpoint, f"{resumed_at:,}")
    quality = optional(cfg.quality)
    last = LastCheckpoint(folder / CHECKPOINTS, cfg.checkpoint.every_n_batches, checkpoint)
    with Signals(last, typed_plugins(cfg.plugins)) as signals:
        trainer = build_trainer(cfg, quality, [last, status, signals])
        trainer.loggers = build_loggers(cfg, folder, resumed_at, status.record.loggers)
        set_length(trainer, data, images, before.get("images_per_epoch"))
        log.info(opening_message(module, folder, data.batch_size, trainer.world_size))
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except BaseException as error:
            agreed = signals.training and isinstance(error, SystemExit)
            if trainer.strategy.launcher is not None and not agreed:  # the others wait for this one, some forever
                trainer.strategy.launcher.kill(signal.SIGKILL)
            raise
    result = summarise(folder, quality)
    log_final_values(cfg, trainer, data.batch_size, result)
    if trainer.is_global_zero:
        log.info(closing_message(result, typed_plugins(cfg.plugins)))
    return result


def _refuse_finished(folder: Path, before: RunRecord, checkpoint: Path, cfg: DictConfig) -> None:
    """Refuse to resume a run that has nothing left to do, before its record is touched."""
    if before.state != "finished" or before.epochs is None or before.images_total is None:
        return
    if cfg.max_images is not None or cfg.budget is not None:
        goes_on = (cfg.max_images or 0) > before.images_total
        done = f"{before.images_total:,} images; raise max_images"
    else:
        goes_on = cfg.trainer.max_epochs == -1 or cfg.trainer.max_epochs > before.epochs
        of = f" of {cfg.trainer.max_epochs}" if cfg.trainer.max_epochs >= before.epochs else ""
        done = f"{before.epochs}{of} epochs; raise trainer.max_epochs"
    if not goes_on and read_description(checkpoint)["images_seen"] == before.images_total:
        raise CganError(f"{folder}: already trained for {done}")


def _refuse_shorter(checkpoint: Path, cfg: DictConfig) -> None:
    """Refuse to resume a run that is to end before the checkpoint was written; a budget counts from the run's start."""
    stored, key = read_description(checkpoint), "trainer.max_epochs" if cfg.max_images is None else "max_images"
    of_epochs = cfg.trainer.max_epochs * (stored.get("images_per_epoch") or 0) if cfg.budget is None else -1
    end = of_epochs if cfg.max_images is None else cfg.max_images
    if 0 < end < stored.get("images_seen", 0):
        raise CganError(
            f"{checkpoint}: it has seen {stored['images_seen']:,} images; raise {key}, which ends at {end:,}"
        )


def measured_pace(cfg: DictConfig, data: ImageData, seconds: float) -> Pace:
    """Train a second time, for some seconds, evaluate once, and read the clock.

    Raises:
        CganError: Several devices train, whose speed together this does not show.
    """
    with short_run(cfg) as short:
        folder, quality, watch = Path(short.trainer.default_root_dir), optional(short.quality), Stopwatch(seconds)
        trainer = build_trainer(short, quality, [LastCheckpoint(folder / CHECKPOINTS, None), watch])
        trainer.loggers = [JsonLines(folder / "metrics.jsonl", 0)]
        if trainer.world_size > 1:
            raise CganError(f"budget={cfg.budget}: measured on one device, found {trainer.world_size}; set max_images")
        trainer.fit(build_module(short, data.spec), datamodule=data)
    if quality is None:
        return watch.pace(0.0, lambda training, epochs: 0.0)
    quality.every_n_epochs = cfg.quality.every_n_epochs
    return watch.pace(quality.mean_seconds, quality.most_seconds)


def run_record(cfg: DictConfig) -> RunRecord:
    """Describe a run at its start."""
    hydra = HydraConfig.get()
    overrides = [printable(override) for override in hydra.overrides.task]
    limits = ("limit_train_batches", "fast_dev_run")
    return RunRecord(
        state="running",
        command=printable(shlex.join(["cgan", "train", *typed_config_dir(), *overrides])),
        overrides=overrides,
        data=str(hydra.runtime.choices.get("data")),
        features=str(hydra.runtime.choices.get("features")),
        network=str(cfg.model.generator.get("_target_")).rpartition(".")[2],
        debug=hydra.runtime.choices.get("debug") is not None or any(cfg.trainer.get(name) for name in limits),
        pid=os.getpid(),
        host=socket.gethostname(),
        hardware="",
        started=time.time(),
        updated=time.time(),
    )


def quiet_lightning() -> None:
    """Leave out what is said at every start and is no news here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)  # `trainer.profiler=simple` asks for it
    for line in (
        "`isinstance",  # Lightning 2.6 with torch 2.15
        r"Found \d+ module\(s\) in eval mode",  # the averaged generator, on purpose
        "The `srun` command is available",  # a login node is not a job
        r"It is recommended to use `self\.log\(.*sync_dist",  # all ranks measure together and have the same values
        "torch.distributed.nn.functional.all_gather is deprecated",  # Lightning 2.6 with torch 2.14
        "The number of training batches",  # about a logging interval that this project does not use
        "Be aware that when using `ckpt_path`",  # a resumed run may have other callbacks
    ):
        warnings.filterwarnings("ignore", line)


def opening_message(module: ConditionalGAN, folder: Path, batch_size: int, devices: int) -> str:
    """Say what is about to be trained, on what, and where it goes."""
    size = {part: sum(weight.numel() for weight in getattr(module, part).parameters()) for part in PARTS}
    networks = ", ".join(f"{type(getattr(module, part)).__name__} ({size[part]:,} weights)" for part in PARTS)
    batch = f"{batch_size} images" if devices == 1 else f"{devices} x {batch_size} = {devices * batch_size} images"
    data = f"{module.spec.name}: {module.spec.classes}"
    return f"Training {networks} on {data}\nGlobal batch: {batch}\nRun folder: {folder}"


def summarise(folder: Path, quality: Quality | None) -> Run:
    """Pick the best epoch's quality values."""
    if quality is None or quality.best is None:
        return Run(folder)
    point = quality.best.point
    return Run(folder, point.values, quality.suite.real.values, quality.share, point.epoch)


def log_final_values(cfg: DictConfig, trainer: pl.Trainer, batch_size: int, result: Run) -> None:
    """Send the choices of this run and its best values to the loggers: TensorBoard shows them in its HParams tab."""
    chosen = HydraConfig.get().runtime.choices
    names = {group: str(option) for group, option in chosen.items() if not group.startswith("hydra/")}
    numbers = {key: value for section in SECTIONS for key, value in _flat(cfg[section], section).items()}
    choices = {**names, **numbers, "epochs": trainer.max_epochs, "batch_size": batch_size}
    log_result(trainer.lightning_module, choices, result.values)


def closing_message(result: Run, plugins: list[str]) -> str:
    """Say how good the best epoch is, where the pictures lie and what to type next."""
    folder = shlex.quote(str(result.folder))
    draw = command("sample", *plugins, "classes=all", "n=10", f"ckpt={result.folder}")
    values = ", ".join(beside_real(name, value, result.real_values.get(name)) for name, value in result.values.items())
    return "\n".join(
        [
            f"Best epoch {result.epoch}: {values}" if values else "Quality was not measured.",
            *([f"Evaluating: {result.quality_share:.1%} of the time"] if values else []),
            f"Pictures:   {folder}/samples, {folder}/curves.png",
            f"Draw:       {draw}",
            f"Curves:     {installed('tensorboard', '--logdir', str(result.folder))}",
        ]
    )


def _flat(values: Any, prefix: str) -> dict[str, Any]:
    """Flatten nested choices to ``{"gan.d_steps": 1, ...}``, without what only tells Hydra how to build."""
    if OmegaConf.is_dict(values):
        parts = [(f"{prefix}.{name}", part) for name, part in values.items() if name not in ("_target_", "_partial_")]
        return {key: entry for name, part in parts for key, entry in _flat(part, name).items()}
    return {prefix: values if isinstance(values, int | float | str) else str(values)}
