"""The parts of a training, built as configured."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch.profilers import PassThroughProfiler
from omegaconf import DictConfig, OmegaConf
from torch.nn.utils.parametrize import is_parametrized

from cgan.callbacks.checkpoints import BestCheckpoint
from cgan.callbacks.quality import Quality
from cgan.checkpoint_io import CheckpointFiles
from cgan.config import listed
from cgan.data.build import build_source
from cgan.data.datamodule import ImageData
from cgan.data.sources import Source
from cgan.errors import CganError, check_number
from cgan.hardware import compile_mode, multiplies_bfloat16, processor
from cgan.losses.adversarial import Wasserstein
from cgan.module import ConditionalGAN
from cgan.networks import GENERATORS
from cgan.plugins import refuse_unnamed
from cgan.records.layout import CHECKPOINTS
from cgan.schedules import Schedule
from cgan.spec import DataSpec
from cgan.tracking import JsonLines, resume
from cgan.updates import OptimizerFactory

log = logging.getLogger(__name__)
BATCHES = ("batch_size", "steps_per_batch", "flip", "balance", "device")
"""The keys of ``data`` that say how images are served; a data set of one's own may lack some."""


def build_trainer(cfg: DictConfig, quality: Quality | None, final: list[Any]) -> pl.Trainer:
    """Build the trainer, which has no loggers yet: they open files, and the trainer may still be refused.

    The quality callback goes first, so that the others see its values, ``final`` goes last.
    """
    if cfg.trainer.accelerator == "gpu" and not torch.accelerator.is_available():
        raise CganError(
            f"trainer.accelerator=gpu: torch {torch.__version__} finds no GPU here; use trainer=auto or "
            "trainer=cpu, or install a torch that fits the GPU's driver"
        )
    callbacks = [_callback(name, entry) for name, entry in cfg.callbacks.items() if entry is not None]
    best = [BestCheckpoint(Path(cfg.trainer.default_root_dir) / CHECKPOINTS, quality)] if quality else []
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        callbacks=[*([quality] if quality else []), *callbacks, *best, *final],
        logger=False,
        plugins=[CheckpointFiles()],
        profiler=cfg.trainer.get("profiler") or NoProfiler(),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **_no_other_bar(cfg, callbacks),
        _convert_="all",
    )
    if trainer.world_size > 1 and "strategy" not in cfg.trainer:
        raise CganError(
            f"{trainer.world_size} devices: two networks that learn in turns need trainer=ddp (GPUs) or "
            "trainer=ddp_cpu; type it as well"
        )
    if trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise CganError(
            f"a sweep trains each run on one device, found {trainer.world_size}: every process of a run would start "
            "the sweep anew. Use trainer.devices=1, several runs at once with hydra/launcher=joblib, or a shell loop "
            "over single runs"
        )
    if trainer.precision == "bf16-mixed" and trainer.strategy.root_device.type == "cpu" and not multiplies_bfloat16():
        log.warning(
            "trainer.precision=bf16-mixed: this processor (%s) is not known to multiply in bfloat16; one that emulates "
            "it is ten times as slow as with trainer.precision=32-true",
            processor(),
        )
    return trainer


def _no_other_bar(cfg: DictConfig, callbacks: list[pl.Callback]) -> dict[str, bool]:
    """Keep Lightning's own progress bar out where ours was left out, and none was asked for."""
    shown = any(isinstance(one, pl.callbacks.ProgressBar) for one in callbacks)
    return {} if shown or "enable_progress_bar" in cfg.trainer else {"enable_progress_bar": False}


class NoProfiler(PassThroughProfiler):
    """Measures nothing, in no time: Lightning's opens a generator around every hook of every callback, 100 in a step.

    For networks so small that a step takes milliseconds, that is a share of it.
    """

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return nullcontext()


def _callback(name: str, entry: DictConfig) -> pl.Callback:
    callback = instantiate(entry, _convert_="all")
    if not isinstance(callback, pl.Callback):
        raise CganError(f"callbacks.{name}: {type(callback).__name__} is no lightning.pytorch.Callback")
    return callback


def build_data(cfg: DictConfig, source: Source | None = None) -> ImageData:
    """Build the data set, if it is not built yet, and what serves it in batches.

    A whole ``trainer.limit_train_batches`` counts training steps, however many share a call of the trainer.
    """
    served = {key: cfg.data[key] for key in BATCHES if key in cfg.data}
    data = ImageData(source or build_source(cfg.data), seed=cfg.seed, **served)
    limit = cfg.trainer.get("limit_train_batches")
    if isinstance(limit, float) and limit != 1:  # schedules and checkpoints count whole steps
        raise CganError(f"trainer.limit_train_batches={limit}: expected a whole number of training steps")
    data.steps_per_epoch = limit if type(limit) is int else None
    return data


def build_module(cfg: DictConfig, spec: DataSpec) -> ConditionalGAN:
    """Build networks, loss, optimisers and schedules; sizes that follow from the data come from ``spec``.

    Raises:
        CganError: The module refuses a choice.
    """
    known = frozenset(GENERATORS)
    classes = spec.num_classes if len(spec.factors) == 1 else list(spec.factors)
    sizes: dict[str, Any] = {"num_classes": classes, "img_shape": list(spec.img_shape), "_convert_": "all"}
    module = ConditionalGAN(
        generator=instantiate(cfg.model.generator, **sizes),
        discriminator=instantiate(cfg.model.discriminator, **sizes),
        spec=spec,
        loss=instantiate(cfg.loss),
        penalty=optional(cfg.penalty),
        regulariser=optional(cfg.regulariser),
        augment=optional(cfg.augment),
        d_optimizer=build_optimizer("optimizer.d", cfg.optimizer.d),
        g_optimizer=build_optimizer("optimizer.g", cfg.optimizer.g),
        lr_schedule=build_schedule(cfg.schedule.lr),
        penalty_schedule=build_schedule(cfg.schedule.penalty),
        seed=cfg.seed,
        **OmegaConf.to_container(cfg.gan, resolve=True),  # type: ignore[arg-type]
    )
    refuse_unnamed(module.generator, known)
    bounded = module.penalty is not None or any(map(is_parametrized, module.discriminator.modules()))  # norm=spectral
    if isinstance(module.loss, Wasserstein) and not bounded:
        log.warning("Warning: loss=wgan without a penalty has no bound; add penalty=wgan_gp gan.d_steps=5")
    if mode := compile_mode(cfg.compile):
        module.compile_step(mode)
    return module


def build_schedule(choice: DictConfig) -> Schedule:
    """Return a schedule, free of Hydra's check of its target and arguments: it would be made in every step, slowly."""
    built: Schedule = instantiate(choice)
    built(0.0)  # is checked
    return partial(built.func, *built.args, **built.keywords) if isinstance(built, partial) else built


def build_optimizer(key: str, choice: DictConfig) -> OptimizerFactory:
    """Return what builds an optimiser; torch itself would say of a word that it is no float, but not of which key."""
    check_number(f"{key}.lr", choice.get("lr", 0), 0)
    if len(betas := listed(choice.get("betas"))) not in (0, 2):
        raise CganError(f"{key}.betas={betas}: expected two numbers")
    for beta in betas:
        check_number(f"{key}.betas", beta, 0, 1)
    factory: OptimizerFactory = instantiate(choice, _convert_="all")
    return factory


def optional(choice: DictConfig | None) -> Any:
    """Build a choice that may be ``none``; a preset may have set a value of it all the same (``penalty.gamma``)."""
    return instantiate(choice, _convert_="all") if choice and "_target_" in choice else None


def build_loggers(cfg: DictConfig, folder: Path, resumed_at: int, ids: Mapping[str, str]) -> list[Any]:
    """Build the configured loggers and ``metrics.jsonl``; a run resumed at some images continues in all of them."""
    loggers = [instantiate(entry, _convert_="all") for entry in cfg.logger.values() if entry is not None]
    if resumed_at:
        resume(loggers, resumed_at, ids)
    return [*loggers, JsonLines(folder / "metrics.jsonl", resumed_at)]
