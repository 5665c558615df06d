"""Gradient penalties on the discriminator.

They assume that it treats each image by itself: no batch norm and no dropout. Input gradients are taken by
``torch.func.grad``: a penalty built on it compiles together with its network, ``autograd.grad`` would not.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cgan.errors import check_number, check_share

Discriminate = Callable[[Tensor, Tensor], Tensor]
"""A discriminator: ``(images (N, C, H, W), labels (N,)) -> logits (N,)``."""


class Batch(NamedTuple):
    """Real and generated images, (N, C, H, W) in [-1, 1], with their classes, (N,)."""

    real: Tensor
    labels: Tensor
    fake: Tensor  # detached where the discriminator learns
    fake_labels: Tensor


class Penalised(NamedTuple):
    """Raw logits, (N,), and what their gradients cost."""

    real_logits: Tensor
    fake_logits: Tensor
    penalty: Tensor  # a scalar, differentiable in the discriminator's weights


class Penalty(Protocol):
    """A term of the discriminator's loss that depends on its input gradients."""

    needs_shared_labels: bool
    """Whether ``fake[i]`` must be of the same class as ``real[i]``."""

    def __call__(self, discriminator: Discriminate, batch: Batch) -> Penalised:
        """Return the logits, which share their forward pass with the penalty, and the penalty."""


def discriminate(discriminator: Discriminate, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return ``real_logits (N,), fake_logits (N,)`` from one forward pass over both halves."""
    logits = discriminator(*_both(batch))
    return logits[: len(batch.real)], logits[len(batch.real) :]


def input_gradients(discriminator: Discriminate, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits (N,) and ``d logits[i] / d images[i]`` (N, C, H, W), differentiable once more in the weights."""

    def summed(images: Tensor) -> tuple[Tensor, Tensor]:
        logits = discriminator(images, labels)
        return logits.sum(), logits

    gradients, logits = torch.func.grad(summed, has_aux=True)(images.detach())
    return logits, gradients


class R1:
    """``gamma / 2 * mean |grad D(real)|^2`` (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: Weight, with the factor 1/2 of StyleGAN2.
        share: Share of the batch at which gradients are taken. Their mean has the same expectation, and second
            derivatives are most of what a step of the discriminator costs.

    Raises:
        CganError: ``share`` is no share.
    """

    needs_shared_labels = False

    def __init__(self, gamma: float, share: float = 1.0) -> None:
        check_number("penalty.gamma", gamma, 0)
        check_share("penalty.share", share, above=True)
        self.gamma, self.share = gamma, share

    def __call__(self, discriminator: Discriminate, batch: Batch) -> Penalised:
        """Penalise the gradient at real images."""
        some, others = self._divided(batch)
        real_logits, gradients = input_gradients(discriminator, some.real, some.labels)
        if len(others.real):
            real_logits = torch.cat([real_logits, discriminator(others.real, others.labels)])
        fake_logits = discriminator(batch.fake, batch.fake_labels)
        return Penalised(real_logits, fake_logits, self.gamma / 2 * _squared_norms(gradients).mean())

    def _divided(self, batch: Batch) -> tuple[Batch, Batch]:
        """Return the images whose gradients count and the others, which may be none."""
        count = math.ceil(self.share * len(batch.real))
        return Batch(*(part[:count] for part in batch)), Batch(*(part[count:] for part in batch))


class R1R2(R1):
    """``gamma / 2 * (mean |grad D(real)|^2 + mean |grad D(fake)|^2)`` (Huang et al. 2024, R3GAN); see :class:`R1`."""

    def __call__(self, discriminator: Discriminate, batch: Batch) -> Penalised:
        """Penalise the gradient at real and at fake images, in one pass."""
        some, others = self._divided(batch)
        logits, gradients = input_gradients(discriminator, *_both(some))
        count = len(some.real)
        penalty = self.gamma / 2 * _squared_norms(gradients).sum() / count
        real_logits, fake_logits = logits[:count], logits[count:]
        if len(others.real):
            real_others, fake_others = discriminate(discriminator, others)
            real_logits, fake_logits = torch.cat([real_logits, real_others]), torch.cat([fake_logits, fake_others])
        return Penalised(real_logits, fake_logits, penalty)


class WganGP:
    """``weight * mean (|grad D(x)| - 1)^2`` at random points between real and fake (Gulrajani et al. 2017, eq. 3).

    Args:
        weight: The paper's lambda.
    """

    needs_shared_labels = True

    def __init__(self, weight: float) -> None:
        check_number("penalty.weight", weight, 0)
        self.weight = weight

    def __call__(self, discriminator: Discriminate, batch: Batch) -> Penalised:
        """Penalise gradients whose norm is not 1."""
        mix = torch.rand(len(batch.real), 1, 1, 1, device=batch.real.device)
        _, gradients = input_gradients(discriminator, torch.lerp(batch.real, batch.fake, mix), batch.labels)
        # The root's derivative at 0 is infinite: a discriminator without any gradient would give NaN.
        norms = (_squared_norms(gradients) + 1e-12).sqrt()
        return Penalised(*discriminate(discriminator, batch), self.weight * (norms - 1).square().mean())


def _both(batch: Batch) -> tuple[Tensor, Tensor]:
    return torch.cat([batch.real, batch.fake]), torch.cat([batch.labels, batch.fake_labels])


def _squared_norms(gradients: Tensor) -> Tensor:
    """Sum over pixels: (N, C, H, W) -> (N,)."""
    return gradients.square().flatten(1).sum(1)
