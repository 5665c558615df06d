"""Warn when the generator ignores its labels, or draws one image again and again."""

import logging
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.callbacks.protocol import GAN, gan
from cgan.callbacks.quality import EVALUATED
from cgan.sampling.draw import draw
from cgan.tracking import log_text, log_values

log = logging.getLogger(__name__)


class Collapse(pl.Callback):
    """Warn, in the log and in TensorBoard, after several evaluations in a row that look like a collapse.

    Two signs are watched wherever quality is evaluated: label agreement no better than guessing, and variety, the mean
    standard deviation of a pixel within a class as a share of that of the training images, near 0.

    Args:
        evaluations: How many in a row.
        per_class: Samples of each class for the variety.
        min_variety: Below this share of the real variety, all images of a class are nearly one image.
    """

    def __init__(self, evaluations: int, per_class: int, min_variety: float) -> None:
        self.evaluations = evaluations
        self.per_class = per_class
        self.min_variety = min_variety
        self.in_a_row = {"label_agreement": 0, "variety": 0}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read what the quality callback has just measured."""
        metrics, module = trainer.callback_metrics, gan(pl_module)
        if metrics.get(EVALUATED) != trainer.current_epoch + 1:
            return
        variety = self._variety(trainer, module)
        log_values(pl_module, {"quality/variety": variety})
        signs = {"variety": variety < self.min_variety}
        if "label_agreement" in metrics:
            signs["label_agreement"] = bool(metrics["label_agreement"] < 1.5 / module.spec.num_classes)
        for sign, bad in signs.items():
            self.in_a_row[sign] = self.in_a_row[sign] + 1 if bad else 0
        collapsed = [sign for sign, count in self.in_a_row.items() if count >= self.evaluations]
        log_values(pl_module, {"warnings/collapse": float(len(collapsed))})
        for sign in collapsed:
            self._warn(pl_module, sign)

    def _variety(self, trainer: pl.Trainer, module: GAN) -> float:
        images, labels = trainer.datamodule.train  # type: ignore[attr-defined]
        shown = torch.tensor(module.spec.shown_labels())
        requested, known = shown.repeat_interleave(self.per_class), torch.isin(labels, shown)
        drawn = draw(module.ema.generator, requested, seed=0)
        return spread(drawn, requested) / max(spread(images[known], labels[known]), 1e-9)

    def _warn(self, module: pl.LightningModule, sign: str) -> None:
        meaning = {
            "label_agreement": "the label agreement is that of guessing: the generator ignores its labels",
            "variety": "the images of a class are nearly all the same",
        }[sign]
        message = (
            f"{meaning}, for {self.in_a_row[sign]} evaluations; lower optimizer.lr, or resume an earlier checkpoint"
        )
        log.warning("Warning: %s", message)
        log_text(module, "warnings", message)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run warns when the uninterrupted one would."""
        return {"in_a_row": dict(self.in_a_row)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting."""
        self.in_a_row = dict(state_dict["in_a_row"])


def spread(images: Tensor, labels: Tensor) -> float:
    """Return the standard deviation of a pixel within a class, in grey levels, over pixels and classes.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,).
    """
    variances = [images[labels == label].float().var(0, correction=0).mean() for label in labels.unique().tolist()]
    return float(torch.stack(variances).mean().sqrt())
