"""The algorithm: two networks, two optimisers, one averaged generator."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from cgan.data.batches import Batches
from cgan.ema import GeneratorEMA
from cgan.errors import CganError
from cgan.losses.adversarial import AdversarialLoss
from cgan.losses.game import Game
from cgan.losses.penalties import Pair, Penalty
from cgan.networks.base import Discriminator, Generator
from cgan.schedules import Schedule
from cgan.seeding import mix, seed_global_streams
from cgan.spec import DataSpec

OptimizerFactory = Callable[..., torch.optim.Optimizer]
LR_EXPONENTS = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
Chunk = tuple[Tensor, Tensor]
"""``steps_per_batch`` batches: images (K, B, C, H, W) in [-1, 1] and labels (K, B) int64."""


class ConditionalGAN(pl.LightningModule):
    """A class-conditional GAN trained by alternating steps (Goodfellow et al. 2014; Mirza & Osindero 2014).

    Every random number of a step follows from ``(seed, step)``: a step gives the same result in a resumed run, in
    chunks of any length, and whatever callbacks draw in between.

    Args:
        generator: Draws images of given classes.
        discriminator: Judges images of given classes.
        spec: The data set; it travels in the checkpoint.
        loss: The adversarial game.
        penalty: A gradient penalty on the discriminator.
        augment: A differentiable augmentation of all that the discriminator sees, ``(images) -> images``.
        d_optimizer: Builds the discriminator's optimiser from its parameters.
        g_optimizer: Builds the generator's optimiser from its parameters.
        lr_schedule: Factor on both learning rates over the run.
        penalty_schedule: Factor on the penalty over the run.
        d_steps: Discriminator steps per generator step, each on its own batch.
        mismatch: Weight of a second game for the discriminator, right labels against wrong ones; 0 leaves it out.
        fake_labels: ``batch`` gives fakes the labels of the real batch, ``uniform`` draws them.
        gradient_clip: Largest gradient norm per network.
        ema_half_life_images: Half-life of the averaged generator in images.
        ema_ramp: Upper bound of that half-life as a share of the images seen.
        lr_scaling: Factor on both learning rates for several devices: ``none``, ``linear`` in their number or ``sqrt``.
        seed: Names every random number of training.

    Raises:
        CganError: Two choices do not fit together.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        discriminator: Discriminator,
        spec: DataSpec,
        loss: AdversarialLoss,
        penalty: Penalty | None,
        augment: Callable[[Tensor], Tensor] | None,
        d_optimizer: OptimizerFactory,
        g_optimizer: OptimizerFactory,
        lr_schedule: Schedule,
        penalty_schedule: Schedule,
        d_steps: int,
        mismatch: float,
        fake_labels: Literal["batch", "uniform"],
        gradient_clip: float | None,
        ema_half_life_images: float,
        ema_ramp: float,
        lr_scaling: Literal["none", "linear", "sqrt"],
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        # Convolutions are faster with the channels last in memory; shapes and results stay.
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.ema = GeneratorEMA(generator, ema_half_life_images, ema_ramp)
        self.spec = spec
        self.game = Game(self._critic, loss, penalty, augment, mismatch=mismatch, num_classes=spec.num_classes)
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.lr_schedule = lr_schedule
        self.penalty_schedule = penalty_schedule
        self.d_steps = d_steps
        self.fake_labels = fake_labels
        self.gradient_clip = gradient_clip
        self.lr_scaling = lr_scaling
        self.seed = seed
        # Own counters, in the checkpoint: Lightning's global_step counts both optimisers.
        self.steps = 0
        self.images_seen = 0
        self._refuse_misfits()

    def compile_step(self, mode: str = "default") -> None:
        """Compile the generator and both sides of the game; results stay, up to float rounding and dropout's choices.

        Args:
            mode: As in ``torch.compile``; ``reduce-overhead`` uses CUDA graphs.
        """
        self.generator.compile(mode=mode)
        self.game.compile(mode)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the discriminator's and the generator's optimiser, in this order."""
        factor = self.trainer.world_size ** LR_EXPONENTS[self.lr_scaling]
        optimizers = [
            self.d_optimizer(self.discriminator.parameters()),
            self.g_optimizer(self.generator.parameters()),
        ]
        # Kept here and not in the optimisers, whose state a resumed run loads: a learning rate typed anew must count.
        self._initial_lrs = [optimizer.param_groups[0]["lr"] * factor for optimizer in optimizers]
        return optimizers

    def on_train_start(self) -> None:
        """Average the weights where they now lie."""
        self.ema.follow(self.generator)

    def training_step(self, batch: Chunk, batch_idx: int) -> dict[str, Tensor]:
        """Train on each batch of the chunk and return the mean of every number worth watching.

        Gradient norms are of the chunk's last step, after clipping: one per step would cost more than it shows. A
        network that has not learned yet has none.
        """
        seeds = [mix(self.seed, self.steps + k) for k in range(len(batch[1]))]  # in a row: far faster than one per step
        steps = [self._gan_step(real, labels, seed) for real, labels, seed in zip(*batch, seeds, strict=True)]
        steps[-1] |= _grad_norms(d_grad_norm=self.discriminator, g_grad_norm=self.generator)
        seen = {name for step in steps for name in step}
        return {name: torch.stack([step[name] for step in steps if name in step]).mean() for name in sorted(seen)}

    def progress(self) -> float:
        """The share of the run's images that was seen, 0 to 1."""
        total = self.total_images()
        return min(self.images_seen / total, 1.0) if total else 0.0

    def total_images(self) -> int | None:
        """The number of images of the whole run, or None where the run has no end."""
        loader, epochs = self.trainer.train_dataloader, self.trainer.max_epochs
        assert isinstance(loader, Batches)
        images_per_epoch = loader.steps_per_epoch * loader.batch_size * self.trainer.world_size
        return epochs * images_per_epoch if epochs and epochs > 0 else None

    def _gan_step(self, real: Tensor, labels: Tensor, seed: int) -> dict[str, Tensor]:
        d_opt, g_opt = self._both_optimizers()
        seed_global_streams(real.device, seed)
        self._apply_schedules(d_opt, g_opt)
        fake_labels, z = self._draw_labels(labels), self._draw_noise(labels)
        if rank := self.trainer.global_rank:  # dropout and augmentation differ between ranks
            seed_global_streams(real.device, mix(self.seed, self.steps, rank))
        generator_learns = (self.steps + 1) % self.d_steps == 0
        with torch.set_grad_enabled(generator_learns):
            fake = self.generator(z, fake_labels)

        # The discriminator learns real from fake.
        with _frozen(g_opt):
            factor = torch.full((), self.penalty_schedule(self.progress()), device=real.device)
            judged = self.game.discriminator(Pair(real, labels, fake.detach(), fake_labels), factor)
            stats = self._update(d_opt, judged)

        # The generator learns to fool it, with the very images that were just judged.
        if generator_learns:
            with _frozen(d_opt):
                stats |= self._update(g_opt, self.game.generator(Pair(real, labels, fake, fake_labels)))

        self.steps += 1
        global_batch = len(real) * self.trainer.world_size
        self.images_seen += global_batch
        self.ema.update(global_batch, self.images_seen)
        return stats

    def _both_optimizers(self) -> list[LightningOptimizer]:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        return optimizers

    def _critic(self, images: Tensor, labels: Tensor) -> Tensor:
        """Judge in float32, also when the networks run in bfloat16."""
        return self.discriminator(images, labels).float()

    def _update(self, optimizer: LightningOptimizer, stats: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take one optimiser step on ``stats["loss"]``; return the other numbers."""
        loss = stats.pop("loss")
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return {name: value.detach() for name, value in stats.items()}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here: under mixed precision with a scaler, gradients are unscaled only from this point on."""
        if self.gradient_clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip, gradient_clip_algorithm="norm")

    def _apply_schedules(self, *optimizers: LightningOptimizer) -> None:
        factor = self.lr_schedule(self.progress())
        for optimizer, initial_lr in zip(optimizers, self._initial_lrs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = initial_lr * factor

    def _draw_noise(self, labels: Tensor) -> Tensor:
        """Draw the global batch's latents and keep this rank's share: no two ranks train on the same noise."""
        world, rank = self.trainer.world_size, self.trainer.global_rank
        return torch.randn(len(labels) * world, self.generator.z_dim, device=labels.device)[rank::world]

    def _draw_labels(self, labels: Tensor) -> Tensor:
        if self.fake_labels == "batch":
            return labels
        world, rank = self.trainer.world_size, self.trainer.global_rank
        return torch.randint(self.spec.num_classes, (len(labels) * world,), device=labels.device)[rank::world]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint explain itself: what the generator is and what it draws, in plain values."""
        checkpoint["cgan"] = {
            "network": type(self.generator).__name__,
            "config": self.generator.config,
            "spec": self.spec.to_dict(),
            "steps": self.steps,
            "images_seen": self.images_seen,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stopped."""
        self.steps = checkpoint["cgan"]["steps"]
        self.images_seen = checkpoint["cgan"]["images_seen"]

    def _refuse_misfits(self) -> None:
        if self.fake_labels not in ("batch", "uniform"):
            raise CganError(f"gan.fake_labels={self.fake_labels}: expected batch or uniform")
        if self.lr_scaling not in LR_EXPONENTS:
            raise CganError(f"gan.lr_scaling={self.lr_scaling}: expected {', '.join(LR_EXPONENTS)}")
        if self.d_steps < 1:
            raise CganError(f"gan.d_steps={self.d_steps}: expected at least 1")
        if self.game.mismatch < 0 or (self.game.mismatch and self.spec.num_classes < 2):
            raise CganError(f"gan.mismatch={self.game.mismatch}: expected 0, or above with at least two classes")
        loss, penalty = self.game.loss, self.game.penalty
        pairs = loss.needs_real_logits or (penalty is not None and penalty.needs_shared_labels)
        if pairs and self.fake_labels != "batch":
            raise CganError("this loss or penalty compares images of one class: set gan.fake_labels=batch")
        unstable = (nn.modules.batchnorm._BatchNorm, nn.Dropout)
        if penalty and any(isinstance(layer, unstable) for layer in self.discriminator.modules()):
            raise CganError(
                "a gradient penalty needs a discriminator that judges each image by itself: "
                "set model.discriminator.dropout=0 and use no batch norm, or choose penalty=none"
            )


@contextmanager
def _frozen(optimizer: LightningOptimizer) -> Iterator[None]:
    """Spare the gradients of the network that is not learning; Lightning's own switch walks through both networks."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _grad_norms(**networks: nn.Module) -> dict[str, Tensor]:
    """Return the norm of the gradients that the last backward pass left in each network, where it left any."""
    gradients = {
        name: [weight.grad for weight in network.parameters() if weight.grad is not None]
        for name, network in networks.items()
    }
    return {name: nn.utils.get_total_norm(found) for name, found in gradients.items() if found}
