"""An adversarial loss: cross-entropy with one-sided label smoothing (Salimans et al. 2016, section 3.4)."""

import torch.nn.functional as F
from torch import Tensor


class SmoothedBCE:
    """D: targets ``1 - smoothing``, which is in (0, 1], for real and 0 for fake; G: target 1 for fake."""

    needs_real_logits = False

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return what the discriminator minimises, from logits (N,)."""
        real = F.softplus(-real_logits) + self.smoothing * real_logits
        return real.mean() + F.softplus(fake_logits).mean()

    def g_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Return what the generator minimises, from logits (N,)."""
        return F.softplus(-fake_logits).mean()
