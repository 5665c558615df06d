"""Say so when the generator stops listening to its labels, or draws one picture again and again."""

import logging
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.callbacks.quality import Quality
from cgan.module import ConditionalGAN
from cgan.sampling.draw import draw
from cgan.tracking import log_values, tensorboard

log = logging.getLogger(__name__)


class Collapse(pl.Callback):
    """Warn, in the log and in TensorBoard, after several evaluations in a row that look like a collapse.

    Two signs are watched wherever quality is judged: label agreement no better than guessing, and variety, the mean
    standard deviation of a pixel within a class as a share of that of the training images, near 0.

    Args:
        evaluations: How many in a row.
        per_class: Samples of each class for the variety.
        least_variety: Below this share of the real variety, all pictures of a class are nearly one picture.
    """

    def __init__(self, evaluations: int, per_class: int, least_variety: float) -> None:
        self.evaluations = evaluations
        self.per_class = per_class
        self.least_variety = least_variety
        self.in_a_row = {"label_agreement": 0, "variety": 0}
        self._judged = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what the quality callback has just seen."""
        assert isinstance(pl_module, ConditionalGAN)
        quality = next((callback for callback in trainer.callbacks if isinstance(callback, Quality)), None)  # type: ignore[attr-defined]
        if quality is None or len(quality.history) == self._judged:
            return
        self._judged = len(quality.history)
        classes = pl_module.spec.num_classes
        signs = {"variety": self._variety(trainer, pl_module) < self.least_variety}
        agreement = quality.history[-1].get(quality.suite.tag("label_agreement"))
        if agreement is not None:
            signs["label_agreement"] = agreement < 1.5 / classes
        for sign, bad in signs.items():
            self.in_a_row[sign] = self.in_a_row[sign] + 1 if bad else 0
        collapsed = [sign for sign, count in self.in_a_row.items() if count >= self.evaluations]
        log_values(pl_module, {"warnings/collapse": float(len(collapsed))})
        for sign in collapsed:
            self._warn(pl_module, sign)

    def _variety(self, trainer: pl.Trainer, module: ConditionalGAN) -> float:
        images, labels = trainer.datamodule.train  # type: ignore[attr-defined]
        wanted = torch.arange(module.spec.num_classes).repeat_interleave(self.per_class)
        drawn = draw(module.ema.generator, wanted, seed=0)
        value = spread(drawn, wanted) / max(spread(images, labels), 1e-9)
        log_values(module, {"quality/variety": value})
        return value

    def _warn(self, module: ConditionalGAN, sign: str) -> None:
        meaning = {
            "label_agreement": "the label agreement is that of guessing: the generator does not listen to its labels",
            "variety": "the pictures of a class are nearly all the same",
        }[sign]
        words = f"{meaning}, for {self.in_a_row[sign]} evaluations; lower optimizer.lr, or resume an earlier checkpoint"
        log.warning("Warning: %s", words)
        if board := tensorboard(module):
            board.experiment.add_text("warnings", words, module.images_seen)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run warns when the uninterrupted one would."""
        return {"in_a_row": dict(self.in_a_row), "judged": self._judged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.in_a_row, self._judged = dict(state_dict["in_a_row"]), state_dict["judged"]


def spread(images: Tensor, labels: Tensor) -> float:
    """Return the standard deviation of a pixel within a class, in grey levels, over pixels and classes.

    Args:
        images: (N, C, H, W) uint8.
        labels: (N,).
    """
    variances = [images[labels == label].float().var(0, correction=0).mean() for label in labels.unique().tolist()]
    return float(torch.stack(variances).mean().sqrt())
