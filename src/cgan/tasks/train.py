"""Training: from a configuration to a run folder."""

import logging
import shlex
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from cgan.callbacks.quality import Quality
from cgan.checkpoint import read_description
from cgan.data.datamodule import ImageData
from cgan.module import ConditionalGAN
from cgan.seeding import mix
from cgan.spec import DataSpec
from cgan.tracking import JsonLines, TensorBoard

log = logging.getLogger(__name__)
PARTS = ("generator", "discriminator")
# What TensorBoard's HParams tab shows: these groups by name, these sections by value.
CHOICES = ("experiment", "data", "model", "loss", "penalty", "optimizer", "schedule", "augment", "trainer")
SECTIONS = ("seed", "run_name", "gan", "model", "penalty", "optimizer", "schedule")


class TrainResult(NamedTuple):
    """What a run leaves behind.

    Attributes:
        folder: The run folder.
        best: The checkpoint of the best epoch, if quality was measured.
        values: The best quality values by tag.
    """

    folder: Path
    best: Path | None
    values: dict[str, float]

    @property
    def score(self) -> float | None:
        """The best Fréchet distance: what a sweep minimises."""
        return next((value for tag, value in self.values.items() if tag.startswith("fid")), None)


def run(cfg: DictConfig) -> TrainResult:
    """Train as configured, or go on from ``cfg.ckpt``.

    Raises:
        CganError: Something in the configuration, the data or the checkpoint does not fit; the message says what.
    """
    quiet_lightning()
    folder = Path(cfg.trainer.default_root_dir)
    resumed_at = read_description(Path(cfg.ckpt))["images_seen"] if cfg.ckpt else 0
    pl.seed_everything(mix(cfg.seed) % 2**32, verbose=False)
    data = ImageData(
        source=instantiate(cfg.data.source, _convert_="all"),
        batch_size=cfg.data.batch_size,
        steps_per_batch=cfg.data.steps_per_batch,
        seed=cfg.seed,
    )
    module = build_module(cfg, data.spec)
    quality = optional(cfg.quality)
    # Quality comes first, so that the curves drawn after an epoch show its values.
    callbacks = [quality] if quality else []
    callbacks += [instantiate(entry, _convert_="all") for entry in cfg.callbacks.values()]
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        callbacks=[*callbacks, *checkpoint_callbacks(folder, quality)],
        logger=build_loggers(cfg, folder, resumed_at),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
        _convert_="all",
    )
    log.info(opening_words(module, folder))
    trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt or None, weights_only=True)
    result = summarise(folder, quality)
    log_final_values(cfg, trainer, result)
    if trainer.is_global_zero:
        log.info(closing_words(result))
    return result


def build_module(cfg: DictConfig, spec: DataSpec) -> ConditionalGAN:
    """Build networks, loss, optimisers and schedules; sizes that follow from the data come from ``spec``."""
    sizes: dict[str, Any] = {"num_classes": spec.num_classes, "img_shape": list(spec.img_shape), "_convert_": "all"}
    return ConditionalGAN(
        generator=instantiate(cfg.model.generator, **sizes),
        discriminator=instantiate(cfg.model.discriminator, **sizes),
        spec=spec,
        loss=instantiate(cfg.loss),
        penalty=optional(cfg.penalty),
        augment=optional(cfg.augment),
        d_optimizer=instantiate(cfg.optimizer.d, _convert_="all"),
        g_optimizer=instantiate(cfg.optimizer.g, _convert_="all"),
        lr_schedule=instantiate(cfg.schedule.lr),
        penalty_schedule=instantiate(cfg.schedule.penalty),
        seed=cfg.seed,
        **OmegaConf.to_container(cfg.gan, resolve=True),  # type: ignore[arg-type]
    )


def optional(choice: DictConfig | None) -> Any:
    """Build a choice that may be ``none``; a preset may have set a value of it all the same (``penalty.gamma``)."""
    return instantiate(choice, _convert_="all") if choice and "_target_" in choice else None


def checkpoint_callbacks(folder: Path, quality: Quality | None) -> list[ModelCheckpoint]:
    """Keep ``last.ckpt`` after every epoch and ``best.ckpt`` by the Fréchet distance."""
    where: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    last = ModelCheckpoint(filename="last", save_on_train_epoch_end=True, **where)
    if quality is None or "fid" not in quality.metrics:
        return [last]
    return [ModelCheckpoint(filename="best", monitor="fid", mode="min", save_on_train_epoch_end=True, **where), last]


def build_loggers(cfg: DictConfig, folder: Path, resumed_at: int) -> list[Any]:
    """Build the TensorBoard logger and ``metrics.jsonl``; both go on at ``resumed_at`` images."""
    purge = {"purge_step": resumed_at + 1} if resumed_at else {}
    return [instantiate(cfg.logger, **purge), JsonLines(folder / "metrics.jsonl", resumed_at)]


def quiet_lightning() -> None:
    """Leave out what is said at every start and is no news here."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for line in (
        "`isinstance",  # Lightning 2.6 with torch 2.15
        r"Found \d+ module\(s\) in eval mode",  # the averaged generator, on purpose
        "Checkpoint directory .* exists and is not empty",  # a resumed run goes on in its own folder
        "The number of training batches",  # about a logging interval that this project does not use
    ):
        warnings.filterwarnings("ignore", line)


def opening_words(module: ConditionalGAN, folder: Path) -> str:
    """Say what is about to be trained, on what, and where it goes."""
    size = {part: sum(weight.numel() for weight in getattr(module, part).parameters()) for part in PARTS}
    networks = ", ".join(f"{type(getattr(module, part)).__name__} ({size[part]:,} weights)" for part in PARTS)
    return f"Training {networks} on {module.spec.name}\nRun folder: {folder}"


def summarise(folder: Path, quality: Quality | None) -> TrainResult:
    """Pick the best epoch's quality values."""
    best = folder / "checkpoints" / "best.ckpt"
    if quality is None or not quality.history:
        return TrainResult(folder, None, {})
    order = next((tag for tag in quality.history[0] if tag.startswith("fid")), None)
    values = min(quality.history, key=lambda row: row[order]) if order else quality.history[-1]
    return TrainResult(folder, best if best.exists() else None, values)


def log_final_values(cfg: DictConfig, trainer: pl.Trainer, result: TrainResult) -> None:
    """Fill TensorBoard's HParams tab: the choices of this run beside its best values."""
    chosen = HydraConfig.get().runtime.choices
    words = {group: str(chosen[group]) for group in CHOICES if group in chosen}
    numbers = {key: value for section in SECTIONS for key, value in _flat(cfg[section], section).items()}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoard):
            logger.log_hyperparams(
                {**words, **numbers, "epochs": trainer.max_epochs, "batch_size": cfg.data.batch_size},
                {f"hp/{tag}": value for tag, value in result.values.items()},
            )


def closing_words(result: TrainResult) -> str:
    """Say how good the best epoch is, where the pictures lie and what to type next."""
    folder = shlex.quote(str(result.folder))
    values = ", ".join(f"{tag} {value:.4g}" for tag, value in result.values.items())
    return "\n".join(
        [
            f"Best epoch: {values}" if values else "Quality was not measured.",
            f"Pictures:   {folder}/samples, {folder}/curves.png",
            f"Draw:       python sample.py digits=all n=10 ckpt={folder}",
            f"Curves:     tensorboard --logdir {folder}",
        ]
    )


def _flat(values: Any, prefix: str) -> dict[str, Any]:
    """Flatten nested choices to ``{"gan.d_steps": 1, ...}``, without what only tells Hydra how to build."""
    if OmegaConf.is_dict(values):
        parts = [(f"{prefix}.{name}", part) for name, part in values.items() if name not in ("_target_", "_partial_")]
        return {key: entry for name, part in parts for key, entry in _flat(part, name).items()}
    return {prefix: values if isinstance(values, int | float | str) else str(values)}
