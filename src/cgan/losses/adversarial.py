"""Adversarial losses: each class holds both sides of one objective, as means over raw logits.

``softplus(-t) = -log sigmoid(t)``, so no loss needs a sigmoid layer.
"""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class AdversarialLoss(Protocol):
    """Both sides of an adversarial objective; logits are (N,) float32, losses are scalars to minimise."""

    needs_real_logits: bool
    """Whether the generator's side compares with real logits of the same labels."""

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return what the discriminator minimises."""

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Return what the generator minimises; only relativistic losses read ``real_logits``."""


class BCE:
    """Non-saturating loss: D ``softplus(-r) + softplus(f)``, G ``softplus(-f)`` (Goodfellow et al. 2014, section 3).

    The discriminator's side is the sum of both halves, so it starts at ``2 log 2 = 1.386``.
    """

    needs_real_logits = False

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Binary cross-entropy with targets 1 for real and 0 for fake."""
        return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Binary cross-entropy with target 1 for fake."""
        return F.softplus(-fake_logits).mean()


class LeastSquares:
    """D ``(r - 1)^2 / 2 + f^2 / 2``, G ``(f - 1)^2 / 2`` (Mao et al. 2017, eq. 9)."""

    needs_real_logits = False

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Squared distance to the targets 1 for real and 0 for fake."""
        return ((real_logits - 1).square().mean() + fake_logits.square().mean()) / 2

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Squared distance to the target 1 for fake."""
        return (fake_logits - 1).square().mean() / 2


class Hinge:
    """D ``relu(1 - r) + relu(1 + f)``, G ``-f`` (Miyato & Koyama 2018; Lim & Ye 2017)."""

    needs_real_logits = False

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Push real logits above 1 and fake logits below -1."""
        return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Raise the fake logits."""
        return -fake_logits.mean()


class Wasserstein:
    """D ``f - r``, G ``-f`` (Arjovsky et al. 2017); the critic needs a Lipschitz bound: ``penalty=wgan_gp``."""

    needs_real_logits = False

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Negative estimate of the distance between real and fake."""
        return fake_logits.mean() - real_logits.mean()

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Raise the fake logits."""
        return -fake_logits.mean()


class Relativistic:
    """Relativistic pairing: D ``softplus(-(r - f))``, G ``softplus(-(f - r))`` (Huang et al. 2024, R3GAN, eq. 2).

    ``real_logits[i]`` and ``fake_logits[i]`` must belong to the same label: only their difference has a meaning.
    """

    needs_real_logits = True

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Rank each real image above the fake of its pair."""
        return F.softplus(fake_logits - real_logits).mean()

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Rank each fake image above the real one of its pair.

        Raises:
            ValueError: ``real_logits`` is missing.
        """
        if real_logits is None:
            raise ValueError("the relativistic generator loss needs real_logits")
        return F.softplus(real_logits - fake_logits).mean()
