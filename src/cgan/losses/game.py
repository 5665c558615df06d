"""One round of the game as functions of tensors, so that each side can be compiled as a whole."""

from collections.abc import Callable

import torch
from torch import Tensor

from cgan.losses.adversarial import AdversarialLoss
from cgan.losses.penalties import Critic, Pair, Penalty, judge


class Game:
    """What each side minimises, with all that decides it: the critic, the loss, the penalty, the augmentation.

    Args:
        critic: Judges images of given classes, (N,) logits in float32.
        loss: The adversarial game.
        penalty: A gradient penalty on the discriminator.
        augment: A differentiable augmentation of all that the discriminator sees.
    """

    def __init__(
        self,
        critic: Critic,
        loss: AdversarialLoss,
        penalty: Penalty | None,
        augment: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.critic = critic
        self.loss = loss
        self.penalty = penalty
        self.augment = augment

    def discriminator(self, pair: Pair, penalty_factor: Tensor) -> dict[str, Tensor]:
        """Tell real from fake.

        Args:
            pair: The batch; ``fake`` without a graph.
            penalty_factor: Scalar factor on the penalty.

        Returns:
            Scalars: ``loss`` to minimise, ``d_loss`` without the penalty, mean logits, and ``penalty`` if there is one.
        """
        pair = self._augmented(pair)
        if self.penalty is None:
            real_logits, fake_logits = judge(self.critic, pair)
            d_loss = loss = self.loss.discriminator(real_logits, fake_logits)
            stats = {}
        else:
            real_logits, fake_logits, penalty = self.penalty(self.critic, pair)
            d_loss = self.loss.discriminator(real_logits, fake_logits)
            stats = {"penalty": penalty * penalty_factor}
            loss = d_loss + stats["penalty"]
        means = {"d_real": real_logits.mean(), "d_fake": fake_logits.mean()}
        return {"loss": loss, "d_loss": d_loss, **means, **stats}

    def generator(self, pair: Pair) -> dict[str, Tensor]:
        """Fool the discriminator: scalars ``loss`` to minimise and ``g_loss``; ``pair.fake`` carries its graph."""
        pair = self._augmented(pair)
        if self.loss.needs_real_logits:
            real_logits, fake_logits = judge(self.critic, pair)
            loss = self.loss.generator(fake_logits, real_logits)
        else:
            loss = self.loss.generator(self.critic(pair.fake, pair.fake_labels))
        return {"loss": loss, "g_loss": loss}

    def compile(self, mode: str) -> None:
        """Compile both sides; random numbers stay those of the uncompiled ones."""
        torch._inductor.config.fallback_random = True
        self.discriminator = torch.compile(self.discriminator, mode=mode)  # type: ignore[method-assign]
        self.generator = torch.compile(self.generator, mode=mode)  # type: ignore[method-assign]

    def _augmented(self, pair: Pair) -> Pair:
        if self.augment is None:
            return pair
        return pair._replace(real=self.augment(pair.real), fake=self.augment(pair.fake))
