"""Gradient penalties on the discriminator.

They assume that it judges each image by itself: no batch norm and no dropout.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Critic = Callable[[Tensor, Tensor], Tensor]
"""``(images (N, C, H, W), labels (N,)) -> logits (N,)``."""


class Judged(NamedTuple):
    """A batch that the discriminator has judged; ``real`` and ``fake`` are leaves that require gradients.

    Attributes:
        real: (N, C, H, W) in [-1, 1].
        fake: (N, C, H, W) in [-1, 1].
        labels: (N,) classes of the real images.
        real_logits: (N,) with a graph back to ``real``.
        fake_logits: (N,) with a graph back to ``fake``.
    """

    real: Tensor
    fake: Tensor
    labels: Tensor
    real_logits: Tensor
    fake_logits: Tensor


class Penalty(Protocol):
    """A scalar added to the discriminator's loss."""

    needs_shared_labels: bool
    """Whether ``fake[i]`` must be of the same class as ``real[i]``."""

    def __call__(self, critic: Critic, judged: Judged) -> Tensor:
        """Return the penalty, differentiable in the discriminator's weights."""


def squared_norms(logits: Tensor, images: Tensor) -> Tensor:
    """Return ``|d logits[i] / d images[i]|^2`` summed over pixels, (N,), differentiable once more."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1)


class R1:
    """``gamma / 2 * mean |grad D(real)|^2`` (Mescheder et al. 2018, eq. 9).

    Args:
        gamma: Weight, with the factor 1/2 of StyleGAN2.
    """

    needs_shared_labels = False

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, judged: Judged) -> Tensor:
        """Penalise the gradient at real images."""
        return self.gamma / 2 * squared_norms(judged.real_logits, judged.real).mean()


class R1R2:
    """``gamma / 2 * (mean |grad D(real)|^2 + mean |grad D(fake)|^2)`` (Huang et al. 2024, R3GAN).

    Args:
        gamma: Weight, with the factor 1/2 of StyleGAN2.
    """

    needs_shared_labels = False

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def __call__(self, critic: Critic, judged: Judged) -> Tensor:
        """Penalise the gradient at real and at fake images, in one backward pass."""
        both = judged.real_logits.sum() + judged.fake_logits.sum()
        at_real, at_fake = torch.autograd.grad(both, (judged.real, judged.fake), create_graph=True)
        return self.gamma / 2 * (at_real.square().sum() / len(at_real) + at_fake.square().sum() / len(at_fake))


class WganGP:
    """``weight * mean (|grad D(x)| - 1)^2`` at random points between real and fake (Gulrajani et al. 2017, eq. 3).

    Args:
        weight: The paper's lambda.
    """

    needs_shared_labels = True

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, critic: Critic, judged: Judged) -> Tensor:
        """Penalise gradients whose length is not 1."""
        mix = torch.rand(len(judged.real), 1, 1, 1, device=judged.real.device)
        between = torch.lerp(judged.real.detach(), judged.fake.detach(), mix).requires_grad_()
        # The root's slope at 0 is infinite: a dead critic would give NaN.
        norms = (squared_norms(critic(between, judged.labels), between) + 1e-12).sqrt()
        return self.weight * (norms - 1).square().mean()
