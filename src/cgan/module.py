"""The algorithm: a discriminator and a generator that learn in turns, and an average of the generator."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from cgan.augment import AdaptiveAugment
from cgan.checkpoint import describe, refuse_unreadable
from cgan.data.batches import Batches
from cgan.dry_run import refuse_misshapen
from cgan.ema import GeneratorEMA
from cgan.errors import CganError, check_choice, check_number, check_whole
from cgan.losses.adversarial import BCE, AdversarialLoss
from cgan.losses.penalties import Batch, Penalty, discriminate
from cgan.losses.regularisers import Regulariser
from cgan.networks.base import Discriminator, Generator
from cgan.schedules import Schedule, constant
from cgan.seeding import mix, seed_global_streams
from cgan.spec import DataSpec, to_float
from cgan.updates import (
    OptimizerFactory,
    Statistics,
    allocate_missing,
    chosen_options,
    frozen,
    gradient_norms,
    kept,
)

ADAM = partial(torch.optim.Adam, lr=2e-4, betas=(0.5, 0.999), fused=True)
LR_EXPONENTS = {"none": 0.0, "sqrt": 0.5, "linear": 1.0}
WITHOUT_GRAPHS = {"reduce-overhead": "default", "max-autotune": "max-autotune-no-cudagraphs"}
"""Modes of ``torch.compile`` that record CUDA graphs, each with the one that does the same without."""
Chunk = tuple[Tensor, Tensor]
"""``steps_per_batch`` batches: images (K, B, C, H, W) uint8 and labels (K, B) int64."""


class ConditionalGAN(pl.LightningModule):
    """A class-conditional GAN trained by alternating steps (Goodfellow et al. 2014; Mirza & Osindero 2014).

    Every random number of a step follows from ``(seed, step)``: a step gives the same result in a resumed run, in
    chunks of any length, and whatever callbacks draw in between.

    Examples:
        >>> data = ImageData(Mnist5k())  # doctest: +SKIP
        >>> sizes = {"num_classes": 10, "img_shape": (1, 28, 28)}  # doctest: +SKIP
        >>> gan = ConditionalGAN(LightGenerator(**sizes), LightDiscriminator(**sizes), data.spec)  # doctest: +SKIP
        >>> Trainer(max_epochs=5).fit(gan, data)  # doctest: +SKIP

    Args:
        generator: Draws images of given classes.
        discriminator: Tells real from generated images of given classes.
        spec: The data set; it travels in the checkpoint.
        loss: The adversarial loss; binary cross-entropy by default.
        penalty: A gradient penalty on the discriminator.
        regulariser: A term of the generator's loss.
        augment: A differentiable augmentation of all that the discriminator sees, ``(images) -> images``.
        d_optimizer: Builds the discriminator's optimiser from its parameters; Adam(2e-4, betas 0.5, 0.999) by default.
        g_optimizer: Builds the generator's optimiser from its parameters.
        lr_schedule: Factor on both learning rates over the run.
        penalty_schedule: Factor on the penalty over the run.
        d_steps: Discriminator steps per generator step, each on its own batch.
        matching_aware: Weight of real images with wrong labels as further negatives for the discriminator
            (Reed et al. 2016, section 4.2); 0 leaves them out.
        fake_labels: ``batch`` gives generated images the labels of the real batch, ``uniform`` draws them.
        gradient_clip: Largest gradient norm per network.
        ema_half_life_images: Half-life of the averaged generator in images.
        ema_ramp: Upper bound of that half-life as a share of the images seen.
        lr_scaling: Factor on both learning rates for several devices: ``none``, ``linear`` in their number or ``sqrt``.
        seed: Names every random number of training.

    Raises:
        CganError: A number is out of range, two choices do not fit together, or a network or the loss returns another
            shape than it must.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        spec: DataSpec,
        *,
        loss: AdversarialLoss | None = None,
        penalty: Penalty | None = None,
        regulariser: Regulariser | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
        d_optimizer: OptimizerFactory = ADAM,
        g_optimizer: OptimizerFactory = ADAM,
        lr_schedule: Schedule = constant,
        penalty_schedule: Schedule = constant,
        d_steps: int = 1,
        matching_aware: float = 0.0,
        fake_labels: Literal["batch", "uniform"] = "batch",
        gradient_clip: float | None = None,
        ema_half_life_images: float = 20_000,
        ema_ramp: float = 0.05,
        lr_scaling: Literal["none", "linear", "sqrt"] = "none",
        seed: int = 1,
    ) -> None:
        super().__init__()
        refuse_unreadable(generator, spec)
        self.automatic_optimization = False
        # Convolutions are faster with the channels last in memory; shapes and results stay.
        self.generator = generator.to(memory_format=torch.channels_last)
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.ema = GeneratorEMA(generator, ema_half_life_images, ema_ramp)
        self.spec = spec
        self.loss, self.penalty, self.regulariser = loss or BCE(), penalty, regulariser
        self.augment = augment or nn.Identity()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.lr_schedule, self.penalty_schedule = lr_schedule, penalty_schedule
        self.d_steps, self.gradient_clip, self.lr_scaling = d_steps, gradient_clip, lr_scaling
        self.matching_aware, self.fake_labels = matching_aware, fake_labels
        self.seed = seed
        self._keeps_gradients = False
        # Own counters, in the checkpoint: Lightning's global_step counts both optimisers.
        self.steps = self.images_seen = 0
        self._refuse_wrong_numbers()
        self._refuse_misfits()
        refuse_misshapen(generator, discriminator, self.loss, self.regulariser, spec)

    # The algorithm

    def alternate(self, real: Tensor, labels: Tensor, seed: int) -> Statistics:
        """Update the discriminator, the generator and its average once (Goodfellow et al. 2014, algorithm 1).

        Args:
            real: (B, C, H, W) in [-1, 1].
            labels: (B,) their classes.
            seed: Names every random number of the step.
        """
        d_opt, g_opt = self._begin_step(real.device, seed)
        z, fake_labels = self._draw_inputs(labels)
        update_generator = (self.steps + 1) % self.d_steps == 0
        with torch.set_grad_enabled(update_generator):
            fake = self.generator(z, fake_labels)

        # Discriminator: tell the real from the generated images.
        with frozen(g_opt):
            d_loss, stats = self.d_objective(Batch(real, labels, fake.detach(), fake_labels), self._penalty_factor())
            self._minimise(d_loss, d_opt)
        stats = kept(stats)
        self._adapt_augment(stats, len(real))

        # Generator: make the discriminator take the same generated images for real ones.
        if update_generator:
            with frozen(d_opt):
                g_loss, g_stats = self.g_objective(Batch(real, labels, fake, fake_labels), z)
                self._minimise(g_loss, g_opt)
            stats |= kept(g_stats)

        # Average: follow the generator.
        self.steps += 1
        self.images_seen += len(real) * self.trainer.world_size
        self.ema.update(len(real) * self.trainer.world_size, self.images_seen)
        return stats

    def d_objective(self, batch: Batch, penalty_factor: Tensor) -> tuple[Tensor, Statistics]:
        """Return what the discriminator minimises, and its parts: a function of tensors, which can be compiled.

        Args:
            batch: Images and classes; ``fake`` is detached.
            penalty_factor: Scalar factor on the penalty.
        """
        batch = self._augmented(batch)
        stats = {}
        if self.penalty is None:
            real_logits, fake_logits = discriminate(self.logits, batch)
        else:
            real_logits, fake_logits, penalty = self.penalty(self.logits, batch)
            stats["penalty"] = penalty * penalty_factor
        stats |= {"d_real": real_logits.mean(), "d_fake": fake_logits.mean()}
        if isinstance(self.augment, AdaptiveAugment):
            stats["d_overfitting"] = (real_logits - fake_logits).sign().mean()
        objective = stats["d_loss"] = self.loss.d_loss(real_logits, fake_logits)
        if self.penalty is not None:
            objective = objective + stats["penalty"]
        if self.matching_aware:
            mismatched_logits = self.logits(batch.real, self._other_labels(batch.labels))
            stats["d_mismatched"] = mismatched_logits.mean()
            objective = objective + self.matching_aware * self.loss.d_loss(real_logits, mismatched_logits)
        return objective, stats

    def g_objective(self, batch: Batch, z: Tensor) -> tuple[Tensor, Statistics]:
        """Return what the generator minimises, and its parts: a function of tensors, which can be compiled.

        Args:
            batch: Images and classes; ``fake`` carries its graph.
            z: (B, z_dim), the latents of ``fake``.
        """
        seen = self._augmented(batch)
        if self.loss.needs_real_logits:
            real_logits, fake_logits = discriminate(self.logits, seen)
            g_loss = self.loss.g_loss(fake_logits, real_logits)
        else:
            g_loss = self.loss.g_loss(self.logits(seen.fake, seen.fake_labels))
        if self.regulariser is None:
            return g_loss, {"g_loss": g_loss}
        regulariser = self.regulariser(self.generator, z, batch.fake_labels, batch.fake)
        return g_loss + regulariser, {"g_loss": g_loss, "regulariser": regulariser}

    def logits(self, images: Tensor, labels: Tensor) -> Tensor:
        """Discriminate: (N, C, H, W) and (N,) -> (N,) in float32, also when the networks run in bfloat16."""
        return self.discriminator(images, labels).float()

    # Lightning's hooks

    def training_step(self, batch: Chunk, batch_idx: int) -> Statistics:
        """Train on each batch of the chunk and return the mean of every number worth watching.

        Gradient norms are of the chunk's last step, after clipping: one per step would cost more than it shows. A
        network that has not learned yet has none.
        """
        seeds = [mix(self.seed, self.steps + k) for k in range(len(batch[1]))]  # in a row: far faster than one per step
        steps = [
            self.alternate(to_float(real).to(self.dtype), labels, seed)  # one by one: the floats fit a cache
            for real, labels, seed in zip(*batch, seeds, strict=True)
        ]
        steps[-1] |= gradient_norms(d_grad_norm=self.discriminator, g_grad_norm=self.generator)
        seen = {name for step in steps for name in step}
        return {name: torch.stack([step[name] for step in steps if name in step]).mean() for name in sorted(seen)}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the discriminator's and the generator's optimiser, in this order."""
        factor = self.trainer.world_size ** LR_EXPONENTS[self.lr_scaling]
        optimizers = [self.d_optimizer(self.discriminator.parameters()), self.g_optimizer(self.generator.parameters())]
        # Kept here and not in the optimisers, whose state a resumed run loads: what is typed anew must count.
        self._initial_lrs = [optimizer.param_groups[0]["lr"] * factor for optimizer in optimizers]
        self._options = [chosen_options(factory) for factory in (self.d_optimizer, self.g_optimizer)]
        return optimizers

    def on_train_start(self) -> None:
        """Average the weights where they now lie; let the optimisers' options count as they are chosen now."""
        self.ema.follow(self.generator)
        for optimizer, options in zip(self.trainer.optimizers, self._options, strict=True):
            for group in optimizer.param_groups:
                group.update({name: value for name, value in options.items() if name in group})

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here: under mixed precision with a scaler, gradients are unscaled only from this point on."""
        if self.gradient_clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip, gradient_clip_algorithm="norm")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the checkpoint describe itself: what the generator is and what it draws, in plain values."""
        counters = {"steps": self.steps, "images_seen": self.images_seen, "images_total": self.total_images()}
        counters["images_per_epoch"] = self.images_per_epoch()
        checkpoint["cgan"] = describe(self.generator, self.spec) | counters

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting where the checkpoint stopped; an augmentation may be typed anew, or left out."""
        stored = checkpoint["state_dict"]
        own = {name: value for name, value in self.state_dict().items() if name.startswith("augment.")}
        kept = {name: stored.get(name, value) for name, value in own.items()}
        others = {name: value for name, value in stored.items() if not name.startswith("augment.")}
        checkpoint["state_dict"] = others | kept
        self.steps = checkpoint["cgan"]["steps"]
        self.images_seen = checkpoint["cgan"]["images_seen"]

    # The run

    def compile_step(self, mode: str = "default") -> None:
        """Compile the generator and both objectives; results stay, up to float rounding and dropout's choices.

        Args:
            mode: As in ``torch.compile``; ``reduce-overhead`` and ``max-autotune`` use CUDA graphs.
        """
        torch._inductor.config.fallback_random = True  # random numbers stay those of the eager step
        # `dynamic=False`: a second batch size in one process, as in a sweep, is compiled for itself.
        # The first CUDA graph after a backward pass writes over the results of those before. Generated images are used
        # after the discriminator's backward pass, gradients after the generator's: neither may lie in a graph.
        self.generator.compile(mode=WITHOUT_GRAPHS.get(mode, mode), dynamic=False)
        self._keeps_gradients = mode in WITHOUT_GRAPHS
        self.d_objective = torch.compile(self.d_objective, mode=mode, dynamic=False)  # type: ignore[method-assign]
        self.g_objective = torch.compile(self.g_objective, mode=mode, dynamic=False)  # type: ignore[method-assign]

    def progress(self) -> float:
        """The share of the run's images that was seen, 0 to 1."""
        total = self.total_images()
        return min(self.images_seen / total, 1.0) if total else 0.0

    def total_images(self) -> int | None:
        """The number of images of the whole run, or None where the run has no end."""
        epochs = self.trainer.max_epochs
        return epochs * self.images_per_epoch() if epochs and epochs > 0 else None

    def images_per_epoch(self) -> int:
        """The number of images in an epoch, on all devices."""
        loader = self.trainer.train_dataloader
        assert isinstance(loader, Batches)
        return loader.steps_per_epoch * loader.batch_size * self.trainer.world_size

    def _begin_step(self, device: torch.device, seed: int) -> list[LightningOptimizer]:
        """Start the random streams at ``seed``, set the learning rates, return the optimisers: D's, then G's."""
        seed_global_streams(device, seed)
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        factor = self.lr_schedule(self.progress())
        for optimizer, initial_lr in zip(optimizers, self._initial_lrs, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = initial_lr * factor
        return optimizers

    def _draw_inputs(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the latents and classes of the global batch and keep this rank's share: ranks never share a latent.

        Dropout and augmentation, which come later in the step, differ between ranks too.
        """
        world, rank = self.trainer.world_size, self.trainer.global_rank
        count, device = len(labels) * world, labels.device
        if self.fake_labels == "uniform":
            labels = torch.randint(self.spec.num_classes, (count,), device=device)[rank::world]
        z = torch.randn(count, self.generator.z_dim, device=device)[rank::world]
        if rank:
            seed_global_streams(device, mix(self.seed, self.steps, rank))
        return z, labels

    def _penalty_factor(self) -> Tensor:
        return torch.full((), self.penalty_schedule(self.progress()), device=self.device)

    def _augmented(self, batch: Batch) -> Batch:
        return batch._replace(real=self.augment(batch.real), fake=self.augment(batch.fake))

    def _adapt_augment(self, stats: Statistics, count: int) -> None:
        """Let an adaptive augmentation follow the discriminator's overfitting, the same on every device."""
        if isinstance(self.augment, AdaptiveAugment):
            overfitting = self.trainer.strategy.reduce(stats["d_overfitting"], reduce_op="mean")
            self.augment.adapt(overfitting, count * self.trainer.world_size)
            stats["augment_strength"] = self.augment.strength.clone()

    def _other_labels(self, labels: Tensor) -> Tensor:
        """Draw for each label one of the others."""
        return (labels + torch.randint_like(labels, 1, self.spec.num_classes)) % self.spec.num_classes

    def _minimise(self, loss: Tensor, optimizer: LightningOptimizer) -> None:
        optimizer.zero_grad(set_to_none=not self._keeps_gradients)
        if self._keeps_gradients:
            allocate_missing(optimizer)
        self.manual_backward(loss)
        optimizer.step()

    def _refuse_wrong_numbers(self) -> None:
        check_whole("gan.d_steps", self.d_steps, 1)
        check_number("gan.matching_aware", self.matching_aware, 0)
        check_number("gan.ema_half_life_images", self.ema.half_life_images, 0)
        check_number("gan.ema_ramp", self.ema.ramp, 0)
        if self.gradient_clip is not None:
            check_number("gan.gradient_clip", self.gradient_clip, 0, above=True)  # at 0 nothing would be learned
        for key, schedule in (("schedule.lr", self.lr_schedule), ("schedule.penalty", self.penalty_schedule)):
            for progress in (0.0, 1.0):  # they refuse wrong values themselves
                check_number(f"{key} at progress {progress}", schedule(progress), 0)

    def _refuse_misfits(self) -> None:
        check_choice("gan.fake_labels", self.fake_labels, ("batch", "uniform"))
        check_choice("gan.lr_scaling", self.lr_scaling, LR_EXPONENTS)
        if self.matching_aware and self.spec.num_classes < 2:
            raise CganError(f"gan.matching_aware={self.matching_aware}: expected 0 for data of a single class")
        pairs = self.loss.needs_real_logits or (self.penalty is not None and self.penalty.needs_shared_labels)
        if pairs and self.fake_labels != "batch":
            raise CganError("this loss or penalty compares images of one class: set gan.fake_labels=batch")
        unstable = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
        if self.penalty and any(isinstance(layer, unstable) for layer in self.discriminator.modules()):
            raise CganError(
                "a gradient penalty needs a discriminator that treats each image by itself: "
                "set model.discriminator.dropout=0 and use no batch norm, or choose penalty=none"
            )
