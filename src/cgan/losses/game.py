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
        mismatch: Weight of a second game for the discriminator: real images with their labels against the same images
            with wrong ones (matching-aware discriminator, Reed et al. 2016, section 4.2).
        num_classes: Number of classes.
    """

    def __init__(
        self,
        critic: Critic,
        loss: AdversarialLoss,
        penalty: Penalty | None,
        augment: Callable[[Tensor], Tensor] | None,
        *,
        mismatch: float,
        num_classes: int,
    ) -> None:
        self.critic = critic
        self.loss = loss
        self.penalty = penalty
        self.augment = augment
        self.mismatch = mismatch
        self.num_classes = num_classes

    def discriminator(self, pair: Pair, penalty_factor: Tensor) -> dict[str, Tensor]:
        """Tell real from fake.

        Args:
            pair: The batch; ``fake`` without a graph.
            penalty_factor: Scalar factor on the penalty.

        Returns:
            Scalars: ``loss`` to minimise, ``d_loss`` of the adversarial game alone, mean logits, what else is played.
        """
        pair = self._augmented(pair)
        stats = {}
        if self.penalty is None:
            real_logits, fake_logits = judge(self.critic, pair)
        else:
            real_logits, fake_logits, penalty = self.penalty(self.critic, pair)
            stats["penalty"] = penalty * penalty_factor
        stats |= {"d_real": real_logits.mean(), "d_fake": fake_logits.mean()}
        loss = stats["d_loss"] = self.loss.discriminator(real_logits, fake_logits)
        if self.penalty is not None:
            loss = loss + stats["penalty"]
        if self.mismatch:
            mismatched_logits = self.critic(pair.real, self._other_labels(pair.labels))
            stats["d_mismatched"] = mismatched_logits.mean()
            loss = loss + self.mismatch * self.loss.discriminator(real_logits, mismatched_logits)
        return {"loss": loss, **stats}

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

    def _other_labels(self, labels: Tensor) -> Tensor:
        """Draw for each label one of the others."""
        return (labels + torch.randint_like(labels, 1, self.num_classes)) % self.num_classes

    def _augmented(self, pair: Pair) -> Pair:
        if self.augment is None:
            return pair
        return pair._replace(real=self.augment(pair.real), fake=self.augment(pair.fake))
