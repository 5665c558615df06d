"""Gradient penalties on the discriminator.

They assume that it judges each image by itself: no batch norm and no dropout. Gradients at images are taken by
``torch.func.grad``: a penalty built on it compiles together with its network, ``autograd.grad`` would not.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]
"""``(images (N, C, H, W), labels (N,)) -> logits (N,)``."""


class Pair(NamedTuple):
    """What the discriminator compares.

    Attributes:
        real: (N, C, H, W) in [-1, 1].
        labels: (N,) classes of the real images.
        fake: (N, C, H, W) in [-1, 1], without a graph where the discriminator learns.
        fake_labels: (N,) classes of the fake images.
    """

    real: Tensor
    labels: Tensor
    fake: Tensor
    fake_labels: Tensor


class Judged(NamedTuple):
    """What the discriminator said.

    Attributes:
        real_logits: (N,) raw.
        fake_logits: (N,) raw.
        penalty: Scalar, differentiable in the discriminator's weights.
    """

    real_logits: Tensor
    fake_logits: Tensor
    penalty: Tensor


class Penalty(Protocol):
    """Judges a batch and says what its slopes cost."""

    needs_shared_labels: bool
    """Whether ``fake[i]`` must be of the same class as ``real[i]``."""

    def __call__(self, critic: Critic, pair: Pair) -> Judged:
        """Return the logits and a scalar to add to the discriminator's loss."""


def judge(critic: Critic, pair: Pair) -> tuple[Tensor, Tensor]:
    """Judge real and fake in one pass, ``-> real_logits (N,), fake_logits (N,)``.

    The discriminators treat each image by itself, so nothing leaks.
    """
    logits = critic(*_both(pair))
    return logits[: len(pair.real)], logits[len(pair.real) :]


def judge_with_slopes(critic: Critic, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (N,) and ``d logits[i] / d images[i]`` (N, C, H, W), differentiable once more in the weights."""

    def score(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = critic(images, labels)
        return logits.sum(), logits

    slopes, logits = torch.func.grad(score, has_aux=True)(images.detach())
    return logits, slopes


class R1:
    """``gamma / 2 * mean |grad D(real)|^2`` (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: Weight, with the factor 1/2 of StyleGAN2.
    """

    needs_shared_labels = False

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, pair: Pair) -> Judged:
        """Penalise the gradient at real images."""
        real_logits, slopes = judge_with_slopes(critic, pair.real, pair.labels)
        fake_logits = critic(pair.fake, pair.fake_labels)
        return Judged(real_logits, fake_logits, self.gamma / 2 * _squared_norms(slopes).mean())


class R1R2:
    """``gamma / 2 * (mean |grad D(real)|^2 + mean |grad D(fake)|^2)`` (Huang et al. 2024, R3GAN).

    Args:
        gamma: Weight, with the factor 1/2 of StyleGAN2.
    """

    needs_shared_labels = False

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, pair: Pair) -> Judged:
        """Penalise the gradient at real and at fake images, in one pass."""
        logits, slopes = judge_with_slopes(critic, *_both(pair))
        count = len(pair.real)
        penalty = self.gamma / 2 * _squared_norms(slopes).sum() / count
        return Judged(logits[:count], logits[count:], penalty)


class WganGP:
    """``weight * mean (|grad D(x)| - 1)^2`` at random points between real and fake (Gulrajani et al. 2017, eq. 3).

    Args:
        weight: The paper's lambda.
    """

    needs_shared_labels = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, critic: Critic, pair: Pair) -> Judged:
        """Penalise gradients whose length is not 1."""
        mix = torch.rand(len(pair.real), 1, 1, 1, device=pair.real.device)
        _, slopes = judge_with_slopes(critic, torch.lerp(pair.real, pair.fake, mix), pair.labels)
        # The root's slope at 0 is infinite: a dead critic would give NaN.
        norms = (_squared_norms(slopes) + 1e-12).sqrt()
        return Judged(*judge(critic, pair), self.weight * (norms - 1).square().mean())


def _both(pair: Pair) -> tuple[Tensor, Tensor]:
    return torch.cat([pair.real, pair.fake]), torch.cat([pair.labels, pair.fake_labels])


def _squared_norms(slopes: Tensor) -> Tensor:
    """Sum over pixels: (N, C, H, W) -> (N,)."""
    return slopes.square().flatten(1).sum(1)
