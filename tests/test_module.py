import shutil

import lightning.pytorch as pl
import pytest
import torch

from cgan.data.batches import Batches
from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.module import ConditionalGAN
from cgan.tasks.build import build_module

SOURCE = Mnist5k(test_per_class=100)
PLAIN_DESCENT = [
    change
    for side in ("d", "g")
    for change in (
        f"optimizer.{side}._target_=torch.optim.SGD",
        f"~optimizer.{side}.betas",
        f"optimizer.{side}.lr=0.1",
    )
]
SMALL = ["model.generator.hidden=[32]", "model.discriminator.hidden=[16]"]


@pytest.fixture(scope="module")
def split() -> Split:
    images, labels = SOURCE.load("train")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:96]
    return Split(images[order], labels[order])


def trained(composed, split, *overrides, steps_per_batch=1, epochs=1, batch_size=16):
    module = build_module(composed("train", "model=mlp", *SMALL, *overrides), SOURCE.spec)
    torch.manual_seed(0)
    for network in (module.generator, module.discriminator):
        for weight in network.parameters():
            torch.nn.init.normal_(weight, std=0.05)
    module.ema = type(module.ema)(module.generator, 100, 1.0)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Batches(split, batch_size=batch_size, steps_per_batch=steps_per_batch, seed=3))
    return module


def same_weights(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_steps_per_chunk_change_no_bit(composed, split):
    single, chunked = (trained(composed, split, steps_per_batch=k, epochs=2) for k in (1, 4))
    assert single.steps == chunked.steps == 12
    assert single.images_seen == 192
    assert same_weights(single, chunked)


def test_another_seed_trains_other_weights(composed, split):
    assert not same_weights(trained(composed, split), trained(composed, split, "seed=2"))


def test_both_networks_and_the_average_learn(composed, split):
    start, end = trained(composed, split, epochs=0), trained(composed, split)
    for name, before in start.state_dict().items():
        if before.is_floating_point() and "running" not in name:
            assert not torch.equal(before, end.state_dict()[name]), name


def test_d_steps_counts_discriminator_steps_per_generator_step(composed, split):
    module = trained(composed, split, "gan.d_steps=3")
    d_opt, g_opt = module.trainer.optimizers
    assert next(iter(d_opt.state.values()))["step"] == 6
    assert next(iter(g_opt.state.values()))["step"] == 2


def test_a_network_that_has_not_learned_has_no_gradient_norm(composed, split, monkeypatch):
    seen = []
    step = ConditionalGAN.training_step
    monkeypatch.setattr(ConditionalGAN, "training_step", lambda *args: seen.append(step(*args)) or seen[-1])
    trained(composed, split, "gan.d_steps=4", steps_per_batch=2)
    assert ["g_grad_norm" in values for values in seen] == [False, True, True]
    assert all("d_grad_norm" in values for values in seen)


def test_kept_gradients_stay_where_they_are_also_after_one_was_taken_away(composed, split, monkeypatch):
    """As `compile=reduce-overhead` needs and `guard=skip` does; where there is none, a backward pass leaves its own."""
    places, minimise, backward = [], ConditionalGAN._minimise, ConditionalGAN.manual_backward

    def learning(self):
        return self.discriminator if len(places) % 2 == 0 else self.generator

    def taking_away(self, loss, optimizer):
        self._keeps_gradients = True
        if len(places) == 2:
            optimizer.param_groups[0]["params"][0].grad = None
        minimise(self, loss, optimizer)

    def watched(self, loss):
        grads = [weight.grad for weight in learning(self).parameters()]
        before = [grad.data_ptr() for grad in grads if grad is not None]
        backward(self, loss)
        places.append((before, [weight.grad.data_ptr() for weight in learning(self).parameters()]))

    monkeypatch.setattr(ConditionalGAN, "_minimise", taking_away)
    monkeypatch.setattr(ConditionalGAN, "manual_backward", watched)
    kept = trained(composed, split)
    monkeypatch.undo()
    assert same_weights(kept, trained(composed, split))
    assert len(places) == 12
    assert all(before == after for before, after in places)


def test_progress_counts_images_so_that_another_batch_size_ends_in_time(composed, split):
    module = trained(composed, split)
    trainer = module.trainer
    assert (module.images_seen, module.total_images(), module.progress()) == (96, 96, 1.0)
    trainer.fit_loop.max_epochs = 2
    assert module.progress() == 0.5
    trainer.train_dataloader.batch_size = 48
    trainer.train_dataloader.steps_per_epoch = 2
    assert module.progress() == 0.5, "half of the images, whatever the number of steps"


def test_gradients_are_clipped_in_manual_mode(composed, split):
    """Adam forgets a gradient's size, plain descent does not: with a clipped gradient no weight can move far."""
    module = trained(composed, split, *PLAIN_DESCENT, "gan.gradient_clip=1e-6")
    start = trained(composed, split, epochs=0)
    for before, after in zip(start.discriminator.parameters(), module.discriminator.parameters(), strict=True):
        assert (before - after).abs().max() <= 6 * 1.1e-7


def test_learning_rates_follow_their_schedule(composed, split):
    module = trained(composed, split, "schedule=burn_in_cosine", "schedule.lr.start=0.0")
    expected = 2e-4 * (1 + torch.cos(torch.tensor(torch.pi * 5 / 6))) / 2  # at the start of the last of 6 steps
    for optimizer in module.trainer.optimizers:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected.item())


def test_bfloat16_trains_in_manual_mode(composed, split):
    module = build_module(composed("train", "model=mlp", *SMALL), SOURCE.spec)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, Batches(split, batch_size=16, steps_per_batch=2, seed=3))
    assert module.steps == 6
    assert all(weight.isfinite().all() for weight in module.parameters())


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(
    "choices",
    [
        pytest.param(
            [
                "loss=relativistic",
                "penalty=r1r2",
                "penalty.share=0.4",
                "augment=diffaugment",
                "augment.transforms=[translation]",
                "gan.matching_aware=0.3",
            ],
            marks=pytest.mark.slow,
            id="relativistic-r1r2-translate-matching-aware",
        ),
        pytest.param(
            ["loss=bce", "penalty=wgan_gp", "regulariser=mode_seeking"],
            marks=pytest.mark.slow,
            id="bce-wgan-gp-mode-seeking",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["true", "reduce-overhead"])
def test_compiled_steps_agree_with_eager_ones(composed, split, choices, mode):
    """Plain descent: Adam would turn the rounding of a gradient that is 0, as of a relativistic bias, into a step."""
    few = Split(split.images[:48], split.labels[:48])
    choices = [*choices, "model.discriminator.dropout=0"]
    eager, compiled = (
        trained(composed, few, f"compile={choice}", *choices, *PLAIN_DESCENT) for choice in ("false", mode)
    )
    trained(composed, few, f"compile={mode}", *choices, *PLAIN_DESCENT, batch_size=12)  # a second size is compiled, too
    start = trained(composed, few, *choices, epochs=0)
    assert compiled.steps == 3
    for before, ours, theirs in zip(start.parameters(), compiled.parameters(), eager.parameters(), strict=True):
        assert (ours - theirs).norm() <= 1e-4 * (theirs - before).norm() + 1e-6


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["penalty=r1"], "dropout=0"),
        (["loss=relativistic", "gan.fake_labels=uniform"], r"gan\.fake_labels=batch"),
        (["gan.fake_labels=random"], "batch, uniform"),
        (["gan.d_steps=0"], "from 1"),
        (["gan.matching_aware=-1"], "gan.matching_aware=-1: expected a number from 0"),
        (["gan.matching_aware=abc"], "gan.matching_aware=abc: expected a number from 0"),
        (["gan.gradient_clip=abc"], "gan.gradient_clip=abc: expected a number above 0"),
        (["gan.gradient_clip=inf"], "gan.gradient_clip=inf: expected a number above 0"),
        (["gan.gradient_clip=0"], "gan.gradient_clip=0: expected a number above 0"),
        (["gan.ema_half_life_images=null"], "gan.ema_half_life_images=None: expected a number from 0"),
        (["gan.ema_ramp=-1"], "gan.ema_ramp=-1: expected a number from 0"),
        (["optimizer.lr=abc"], "optimizer.d.lr=abc: expected a number from 0"),
        (["optimizer.g.lr=-1"], "optimizer.g.lr=-1: expected a number from 0"),
        (["optimizer.d.betas=[2,3]"], "optimizer.d.betas=2: expected a number from 0 to 1"),
    ],
)
def test_choices_that_do_not_fit_are_refused_when_the_run_is_built(composed, overrides, words):
    with pytest.raises(CganError, match=words):
        build_module(composed("train", "model=mlp", *overrides), SOURCE.spec)
