"""A loss that goes wrong, for training that is otherwise real."""

import torch
from torch import Tensor

from cgan.losses.adversarial import BCE


class Poisoned(BCE):
    """The third discriminator loss is no number, and every one after the seventh if ``forever``."""

    def __init__(self, forever: bool) -> None:
        self.calls, self.forever = 0, forever

    def d_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        self.calls += torch.is_grad_enabled()  # of training, not of the dry run before it
        bad = self.calls == 3 or (self.forever and self.calls > 7)
        return super().d_loss(real_logits, fake_logits) * (torch.nan if bad else 1.0)
