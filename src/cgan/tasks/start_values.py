"""Start values that a preset leaves to the data: ``auto`` is replaced by what size and number of the images suggest."""

import math
from typing import Any, NamedTuple

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict

from cgan.data.build import build_source
from cgan.data.sources import Source
from cgan.errors import check_whole
from cgan.hardware import multiplies_bfloat16
from cgan.networks.base import StyleBased

AUTO = "auto"
LARGE = 3 * 64 * 64
"""Numbers per image above which learning rates fall: hands of 3x128x128 diverged with 0.002, not with 0.001."""
IMAGES, IMAGES_FEW = 1_000_000, 200_000
"""Images of a run of many or of few pictures: half an hour of one core with AVX-512 BF16, at whose end samples of
CIFAR-10 showed their class nearly as often as real ones; few pictures are known by heart after a fifth. Larger images
than 3x32x32 cost more time each, and are seen half as often with each doubling of the side."""
EPOCHS = (10, 400)
"""The least and the most."""
BURN_IN = 20_000
"""Images within which the penalty falls: before it had, the discriminator of CIFAR-10 was hardly better than chance."""
LONGEST_BURN_IN = 0.2
"""As a share of the run."""
MATCHING, MATCHING_FEW = 0.3, 0.1
"""Of images with wrong classes: samples show their class better and sooner; of few pictures 0.3 draws more twins."""
GAMMA = 3.0
"""For many images and styles: best or near it on MNIST, CIFAR-10 and coloured digits; 8 broke a run of the latter, and
with 4 `light` was behind there."""
GRID = "callbacks.sample_grid.every_n_epochs"
PRECISION = "trainer.precision"
TRANSFORMS = "augment.transforms"
GRIDS = 40
"""Sample grids of a run."""
OF_LENGTH = ("schedule.penalty.until", "gan.ema_half_life_images")
"""What depends on the length of the run, which for ``budget`` is measured after all else is chosen."""
FEW = 20_000
"""Below so many images: batches of 64 instead of 128, a smaller gamma, and a fifth of the length."""


class Start(NamedTuple):
    """A value that was left open, and why it is this one."""

    key: str
    value: Any
    reason: str

    def __str__(self) -> str:
        value = f"[{','.join(self.value)}]" if isinstance(self.value, list) else self.value
        return f"  {self.key}={value}: {self.reason}"


class Chosen(NamedTuple):
    """What was chosen, and from what.

    Attributes:
        lines: What was chosen, and why; empty where nothing of it is news.
        source: The data set that was read for it.
        open_keys: The keys that were left open.
        facts: Number of images, numbers per image, number of classes.
    """

    lines: str
    source: Source
    open_keys: frozenset[str]
    facts: tuple[int, int, int]


def choose_start_values(cfg: DictConfig) -> Chosen | None:
    """Replace in place every ``auto`` of a preset: start values, precision, ``every_n_epochs`` of grids, ``augment``.

    Returns:
        What was chosen; None where nothing was left open.
    """
    limited = cfg.augment is not None and "below" in cfg.augment
    keys = [start.key for start in starts(1, 1, 1)]
    open_keys = frozenset(key for key in [*keys, GRID, PRECISION] if OmegaConf.select(cfg, key) == AUTO)
    if not open_keys and not limited and not _transforms_are_open(cfg):
        return None
    source = build_source(cfg.data)
    source.prepare()
    count = len(source.load("train").labels)
    facts = (count, math.prod(source.spec.img_shape), source.spec.num_classes)
    epochs = cfg.trainer.max_epochs
    images = cfg.max_images or (count * epochs if type(epochs) is int and epochs > 0 else None)  # -1: without end
    batch = cfg.data.get("batch_size")
    typed_batch = batch if type(batch) is int and batch > 0 else None
    found = starts(*facts, images, typed_batch, _is_style_based(cfg))
    chosen = _set(cfg, [start for start in found if start.key in open_keys])
    if cfg.budget is not None or cfg.max_images is not None:  # which say the length
        later = () if cfg.max_images is not None else OF_LENGTH
        chosen = [start for start in chosen if start.key not in ("trainer.max_epochs", *later)]
    if GRID in open_keys:
        epochs = math.ceil(cfg.max_images / count) if cfg.max_images else cfg.trainer.max_epochs
        grids = _set(cfg, [_grids(epochs)])
        chosen = chosen or grids  # they are no news beside other values
    if PRECISION in open_keys:
        chosen += _set(cfg, [_precision(cfg.trainer.accelerator)])
    if limited:
        chosen += _augmentation(cfg, count, bool(open_keys))
    if _transforms_are_open(cfg):
        chosen += _set(cfg, [_transforms(source.spec.img_shape[0])])
    shape = "x".join(map(str, source.spec.img_shape))
    head = f"Chosen for {count:,} training images of {shape}; what is typed counts instead:"
    lines = "\n".join([head, *map(str, chosen)]) if chosen else ""
    return Chosen(lines, source, open_keys, facts)


def choose_for_length(cfg: DictConfig, chosen: Chosen, images: int) -> str:
    """Replace what was left open and depends on the length of the run, now that ``budget`` has become ``images``.

    Returns:
        What was chosen, in lines that say why; empty where nothing of this was left open.
    """
    late = [start for start in starts(*chosen.facts, images) if start.key in OF_LENGTH]
    found = _set(cfg, [start for start in late if start.key in chosen.open_keys])
    if GRID in chosen.open_keys:
        _set(cfg, [_grids(math.ceil(images / chosen.facts[0]))])
    return "\n".join(["Chosen for this length:", *map(str, found)]) if found else ""


def _grids(epochs: int) -> Start:
    return Start(GRID, max(1, epochs // GRIDS), f"{GRIDS} grids in all")


def _is_style_based(cfg: DictConfig) -> bool:
    try:
        found = get_object(cfg.model.generator._target_)
    except (ImportError, AttributeError, ValueError):  # building it says what is wrong
        return False
    return isinstance(found, type) and issubclass(found, StyleBased)


def _augmentation(cfg: DictConfig, count: int, beside_others: bool) -> list[Start]:
    """Augment few images; that many are not augmented is news beside other choices alone."""
    with open_dict(cfg):
        below = cfg.augment.pop("below")
        check_whole("augment.below", below, 1)
        cfg.augment = cfg.augment if count < below else None
    if cfg.augment:
        faster = "; experiment=few takes faster networks for so few" if beside_others else ""
        return [Start("augment", "ada", f"fewer than {below:,} images{faster}")]
    return [Start("augment", "none", f"not fewer than {below:,} images")] if beside_others else []


def _transforms_are_open(cfg: DictConfig) -> bool:
    """Whether there is an augmentation, and what it does is left open; a preset's word may stand beside none."""
    return "_target_" in (cfg.augment or {}) and cfg.augment.get("transforms") == AUTO


def _transforms(channels: int) -> Start:
    moved = ["translation", "cutout"]
    if channels < 3:  # 2 with alpha
        return Start(TRANSFORMS, moved, "grey images keep their shades")
    return Start(TRANSFORMS, ["colour", *moved], "all, for images in colour")


def _precision(accelerator: str) -> Start:
    """Return bfloat16 for what multiplies in it: 1.3 to 1.7 times as fast there, and as good (docs/colour.md)."""
    on_gpu = accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else multiplies_bfloat16()
    device, does = "GPU" if on_gpu else "processor", "multiplies" if fast else "is not known to multiply"
    return Start(PRECISION, "bf16-mixed" if fast else "32-true", f"this {device} {does} in bfloat16")


def _set(cfg: DictConfig, values: list[Start]) -> list[Start]:
    """Set values in a configuration, and return them."""
    with open_dict(cfg):
        for start in values:
            OmegaConf.update(cfg, start.key, start.value)
    return values


def starts(
    count: int, values: int, classes: int, images: int | None = None, batch: int | None = None, styled: bool = False
) -> list[Start]:
    """Return the start values for data; docs/your-own-pictures.md says what they were seen to do.

    Args:
        count: Number of training images.
        values: Numbers per image, C * H * W.
        classes: Number of classes.
        images: The length of the run, if it is typed; None: that of these epochs.
        batch: Images of a batch, if they are typed.
        styled: Whether the generator is style-based.
    """
    length = (IMAGES_FEW if count < FEW else IMAGES) / max(1, values / 3072) ** 0.5
    epochs = min(max(math.ceil(length / count), EPOCHS[0]), EPOCHS[1])
    images = images or epochs * count
    largest = 64 if count < FEW else 128
    batch = batch or min(largest, 2 ** max(int(math.log2(count)) - 1, 0))
    return [
        Start("trainer.max_epochs", epochs, f"{images:,} images in all"),
        Start("data.batch_size", batch, "64 below 20,000 images, 128 from there on; at most half of them"),
        Start(
            "optimizer.lr",
            _rounded(2e-3 * (min(1.0, batch / 64) * min(1.0, LARGE / values)) ** 0.5),
            "0.002; less for batches below 64 or images larger than 3x64x64",
        ),
        Start(
            "penalty.gamma",
            GAMMA if styled and count >= FEW else _rounded(0.3 * (values / 784) ** 0.5),
            "0.3 at 1x28x28, more with the root of the size; 3 for styles from 20,000 images on",
        ),
        Start(
            "schedule.penalty.until",
            _rounded(min(BURN_IN / images, LONGEST_BURN_IN)),
            "the penalty falls within 20,000 images, or a fifth of the run",
        ),
        Start(
            "gan.matching_aware",
            (MATCHING_FEW if count < FEW else MATCHING) if classes > 1 else 0.0,
            "of images with wrong classes 0.3, below 20,000 images 0.1" if classes > 1 else "there is one class alone",
        ),
        Start("gan.ema_half_life_images", images // 20, f"a twentieth of {images:,} images"),
    ]


def _rounded(value: float) -> float:
    """Keep two digits."""
    return float(f"{value:.2g}")
