"""Warn when the generator ignores its labels, draws one image again and again, breaks, or loses a class or modes."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.callbacks.protocol import GAN, gan
from cgan.callbacks.quality import EVALUATED
from cgan.errors import check_number, check_whole
from cgan.metrics.features import evenly
from cgan.sampling.draw import draw
from cgan.tracking import log_text, log_values

log = logging.getLogger(__name__)
LEARNT = 0.5
"""A class is compared with others when these have this share of the value of real images: before, all are bad."""
NEAR_CHANCE = 0.1
MOST = 1000
"""Images of a class from which its spread is estimated."""
LEFT = {"modes": 0.95, "label_agreement": 0.5}
"""Less than this share of the most that a run has had is a loss: chance, and learning, move these values less."""
FELL = "_fell"
PER_CLASS = ("class_agreement", "class_recall")
ADVICE = {
    "label_agreement": "the label agreement is that of guessing: the generator ignores its labels, for {n} "
    "evaluations; lower optimizer.lr, or resume an earlier checkpoint",
    "variety": "the images of a class are nearly all the same, for {n} evaluations; lower optimizer.lr, or resume an "
    "earlier checkpoint",
    "modes_fell": "modes are lost: {value:.0f} are left, for {n} evaluations; lower optimizer.lr, or resume an earlier "
    "checkpoint",
    "label_agreement_fell": "training broke: {value:.0%} of the images are read as asked, where twice as many were, "
    "for {n} evaluations; lower optimizer.lr or penalty.gamma, or resume an earlier checkpoint",
    "class_agreement": "class {name} is lost: {value:.0%} of its images are read as it (real images {real:.0%}), for "
    "{n} evaluations; train on more pictures of it, or with data.balance=true",
    "class_recall": "class {name} is starved: its images resemble {value:.0%} of the real ones (real images "
    "{real:.0%}), for {n} evaluations; train on more pictures of it, or with regulariser=mode_seeking",
}


class Collapse(pl.Callback):
    """Warn, in the log and in TensorBoard, once after several evaluations in a row that look like a collapse.

    Watched wherever quality is evaluated: label agreement no better than guessing; variety, the mean standard deviation
    of a pixel within a class as a share of that of the training images, near 0; less label agreement than half of the
    best, or fewer modes, than the run has had; and classes whose label agreement (lost) or recall (starved) is far
    below that of the other classes.

    Args:
        evaluations: How many in a row.
        per_class: Samples of each class for the variety.
        min_variety: Below this share of the real variety, all images of a class are nearly one image.
        min_of_others: Below this share of what a quarter of the other classes exceed, all as shares of real images'
            values, a class is lost.
    """

    def __init__(self, evaluations: int, per_class: int, min_variety: float, min_of_others: float) -> None:
        check_whole("callbacks.collapse.evaluations", evaluations, 1)
        check_whole("callbacks.collapse.per_class", per_class, 1)
        check_number("callbacks.collapse.min_variety", min_variety, 0, 1)
        check_number("callbacks.collapse.min_of_others", min_of_others, 0, 1)
        self.evaluations = evaluations
        self.per_class = per_class
        self.min_variety = min_variety
        self.min_of_others = min_of_others
        self.in_a_row: dict[str, int] = {}
        self.most = dict.fromkeys(LEFT, 0.0)
        self._real_spread: float | None = None
        self._chance: float | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics, module = trainer.callback_metrics, gan(pl_module)
        if metrics.get(EVALUATED) != trainer.current_epoch + 1:
            return
        variety = self._variety(trainer, module)
        log_values(pl_module, {"quality/variety": variety, "real/variety": 1.0})
        signs = self.signs(metrics, variety, self._guessing(trainer))
        self.in_a_row = {sign: self.in_a_row.get(sign, 0) + 1 for sign in signs}
        found = [sign for sign, count in self.in_a_row.items() if count >= self.evaluations]
        lost = [sign for sign in found if "/" in sign]
        log_values(
            pl_module, {"warnings/collapse": float(len(found) - len(lost)), "warnings/classes": float(len(lost))}
        )
        new = [sign for sign in found if self.in_a_row[sign] == self.evaluations]  # once, not at every epoch
        messages = [warning(sign, self.evaluations, metrics, module.spec.class_names) for sign in new]
        for message in messages:
            log.warning("Warning: %s", message)
        if messages:  # loggers of files keep one text of a name
            log_text(pl_module, "warnings", "\n\n".join(messages))

    def signs(self, metrics: Mapping[str, Tensor], variety: float, chance: float) -> list[str]:
        """Return what is bad in one evaluation: names of values, ``NAME/LABEL`` for a class, ``NAME_fell``.

        Args:
            metrics: Numbers by name, those of real images as ``real/NAME``.
            variety: As a share of that of the training images.
            chance: The label agreement of guessing.
        """
        bad = ["variety"] if variety < self.min_variety else []
        if "label_agreement" in metrics and guesses(metrics, chance):
            bad.append("label_agreement")
        for name in [name for name in LEFT if name in metrics and name not in bad]:
            value = float(metrics[name])
            self.most[name] = max(self.most[name], value)
            bad += [name + FELL] if value < LEFT[name] * self.most[name] else []
        return bad + [sign for name in PER_CLASS for sign in behind(name, metrics, self.min_of_others)]

    def _variety(self, trainer: pl.Trainer, module: GAN) -> float:
        shown = module.spec.shown_labels()
        if self._real_spread is None:
            images, labels = trainer.datamodule.train  # type: ignore[attr-defined]
            self._real_spread = spread(images, labels, shown)
        requested = torch.tensor(shown).repeat_interleave(self.per_class)
        return spread(draw(module.ema.generator, requested, seed=0), requested, shown) / max(self._real_spread, 1e-9)

    def _guessing(self, trainer: pl.Trainer) -> float:
        """Return the label agreement of a generator that draws the classes in their shares, but not as asked."""
        if self._chance is None:
            labels = trainer.datamodule.train.labels  # type: ignore[attr-defined]
            self._chance = float((labels.bincount() / len(labels)).square().sum())
        return self._chance

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run warns when the uninterrupted one would."""
        return {"in_a_row": dict(self.in_a_row), "most": dict(self.most)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.in_a_row = dict(state_dict["in_a_row"])
        self.most = dict(state_dict["most"])


def guesses(metrics: Mapping[str, Tensor], chance: float) -> bool:
    """Whether the label agreement is hardly above chance: by half of it, or a tenth of the way to real images."""
    real = float(metrics["real/label_agreement"])
    return float(metrics["label_agreement"]) < min(1.5 * chance, chance + NEAR_CHANCE * (real - chance))


def behind(name: str, metrics: Mapping[str, Tensor], min_of_others: float) -> list[str]:
    """Return ``NAME/LABEL`` for each class whose value, as a share of real images', is far below others'.

    The others' is what a quarter of them exceed: however many classes are lost together, the rest shows that they are.

    Args:
        name: A value with one number per class, such as ``class_recall``.
        metrics: Numbers by ``NAME/LABEL`` and ``real/NAME/LABEL``.
        min_of_others: How far.
    """
    found = {sign: float(value) for sign, value in metrics.items() if sign.startswith(f"{name}/")}
    real = {sign: float(metrics.get(f"real/{sign}", 0)) for sign in found}
    shares = {sign: value / real[sign] for sign, value in found.items() if real[sign] > 0}
    lost = []
    for sign, share in shares.items():
        others = sorted(value for other, value in shares.items() if other != sign)
        good = others[len(others) * 3 // 4] if others else 0.0
        if good >= LEARNT and share < min_of_others * good:
            lost.append(sign)
    return lost


def warning(sign: str, evaluations: int, metrics: Mapping[str, Tensor], class_names: Sequence[str]) -> str:
    """Say what is wrong, for how many evaluations, and what to do; ``sign`` is one of ``Collapse.signs``."""
    kind, _, label = sign.partition("/")
    about: dict[str, Any] = {"n": evaluations, "value": float(metrics.get(sign.removesuffix(FELL), math.nan))}
    if label:
        about |= {"name": class_names[int(label)], "real": float(metrics[f"real/{sign}"])}
    return ADVICE[kind].format(**about)


def spread(images: Tensor, labels: Tensor, classes: Iterable[int]) -> float:
    """Return the standard deviation of a pixel of (N, C, H, W) uint8 within a class, over pixels and classes.

    Of a class with very many images some at even distances are taken, so that memory is bounded.
    """
    positions = [(labels == label).nonzero().squeeze(1) for label in classes]
    some = [places[evenly(len(places), min(len(places), MOST))] for places in positions if len(places)]
    return float(torch.stack([images[places].float().var(0, correction=0).mean() for places in some]).mean().sqrt())
