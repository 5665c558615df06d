"""Choices that a preset leaves to the number of training images: ``auto`` values, replaced when a run starts."""

import math

from omegaconf import DictConfig, open_dict

from cgan.data.unlabelled import build_source

AUTO = "auto"
IMAGES = 400_000
"""Images of a run: what small networks need to draw recognisable things."""
EPOCHS = (10, 400)
"""The least and the most."""
GRIDS = 40
"""Sample grids of a run."""


def choose_by_number(cfg: DictConfig) -> str | None:
    """Replace ``trainer.max_epochs=auto``, the grids' ``every_n_epochs=auto`` and ``augment=auto`` in place.

    Returns:
        A line that says what was chosen and why; None where nothing was left open.
    """
    limited = cfg.augment is not None and "below" in cfg.augment
    if cfg.trainer.max_epochs != AUTO and not limited:
        return None
    source = build_source(cfg.data)
    source.prepare()
    count = len(source.load("train").labels)
    chosen = []
    with open_dict(cfg):
        if cfg.trainer.max_epochs == AUTO:
            cfg.trainer.max_epochs = min(max(math.ceil(IMAGES / count), EPOCHS[0]), EPOCHS[1])
            chosen.append(f"trainer.max_epochs={cfg.trainer.max_epochs}")
        grid = cfg.callbacks.get("sample_grid") if cfg.callbacks else None
        if grid and grid.every_n_epochs == AUTO:
            grid.every_n_epochs = max(1, cfg.trainer.max_epochs // GRIDS)
        if limited:
            few = count < cfg.augment.pop("below")
            cfg.augment = cfg.augment if few else None
            chosen.append(f"augment={'diffaugment' if few else 'none'}")
    return f"Chosen for {count:,} training images: {', '.join(chosen)}"
