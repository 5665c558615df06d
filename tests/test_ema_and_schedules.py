import copy
import re
from functools import partial

import pytest
import torch

from cgan.data.sources import Mnist5k
from cgan.ema import GeneratorEMA
from cgan.errors import CganError
from cgan.networks.mlp import MLPGenerator
from cgan.schedules import burn_in, constant, cosine_decay
from cgan.tasks.build import build_module


def small_generator() -> MLPGenerator:
    torch.manual_seed(0)
    return MLPGenerator(num_classes=3, img_shape=(1, 4, 4), z_dim=5, embed_dim=2, hidden=(6, 7))


def test_after_one_half_life_old_and_new_weights_count_the_same():
    generator = small_generator()
    ema = GeneratorEMA(generator, half_life_images=100, ramp=1.0)
    old = copy.deepcopy(generator)
    with torch.no_grad():
        for tensor in (*generator.parameters(), *(b for b in generator.buffers() if b.is_floating_point())):
            tensor.add_(3.0)
    ema.update(new_images=100, images_seen=1000)
    for name, averaged in ema.generator.state_dict().items():
        if averaged.is_floating_point():
            torch.testing.assert_close(averaged, old.state_dict()[name] + 1.5)


def test_two_small_updates_equal_one_large_one():
    moved = small_generator()
    with torch.no_grad():
        for weight in moved.parameters():
            weight.add_(1.0)
    once = GeneratorEMA(small_generator(), half_life_images=64, ramp=1.0)
    twice = copy.deepcopy(once)
    once.follow(moved)
    twice.follow(moved)
    once.update(new_images=32, images_seen=10_000)
    twice.update(new_images=16, images_seen=10_000)
    twice.update(new_images=16, images_seen=10_000)
    for a, b in zip(once.generator.parameters(), twice.generator.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_weights_and_statistics_that_were_moved_are_followed_anew():
    generator = small_generator()
    ema = GeneratorEMA(generator, half_life_images=100, ramp=1.0)
    generator.double()  # running statistics become new tensors, as on the way to a GPU
    ema.double()
    ema.follow(generator)
    with torch.no_grad():
        for tensor in (*generator.parameters(), *(b for b in generator.buffers() if b.is_floating_point())):
            tensor.fill_(2.0)
    for _ in range(20):
        ema.update(new_images=100, images_seen=1000)
    for averaged in ema.generator.state_dict().values():
        if averaged.is_floating_point():
            torch.testing.assert_close(averaged, torch.full_like(averaged, 2.0), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["schedule.lr.start=1"], "schedule.lr.start=1: expected a share from 0 and below 1"),
        (["schedule.lr.start=abc"], "schedule.lr.start=abc: expected a share from 0 and below 1"),
        (["schedule.penalty.end=-3"], "schedule.penalty.end=-3: expected a number from 0"),
        (["schedule.penalty.end=abc"], "schedule.penalty.end=abc: expected a number from 0"),
        (["schedule.penalty.until=0"], "schedule.penalty.until=0: expected a share above 0 and up to 1"),
    ],
)
def test_a_schedule_out_of_range_is_refused_before_training(composed, words, expected):
    cfg = composed("train", "schedule=burn_in_cosine", *words)
    with pytest.raises(CganError, match=f"^{re.escape(expected)}$"):
        build_module(cfg, Mnist5k().spec)


def test_a_configured_schedule_is_called_in_every_step_without_hydras_checks(composed):
    module = build_module(composed("train", "schedule=burn_in_cosine", "schedule.penalty.until=0.5"), Mnist5k().spec)
    assert type(module.penalty_schedule) is type(module.lr_schedule) is partial
    assert module.penalty_schedule(0.25) == pytest.approx(0.55)


def test_the_ramp_shortens_the_half_life_at_the_start():
    generator = small_generator()
    ema = GeneratorEMA(generator, half_life_images=1e9, ramp=0.5)
    old = next(ema.generator.parameters()).clone()
    with torch.no_grad():
        next(generator.parameters()).add_(1.0)
    ema.update(new_images=8, images_seen=16)  # half-life 8
    torch.testing.assert_close(next(ema.generator.parameters()), old + 0.5)


def test_the_average_stays_in_eval_mode_and_asks_for_no_gradients():
    ema = GeneratorEMA(small_generator(), 1.0, 1.0)
    ema.train()
    assert not any(module.training for module in ema.generator.modules())
    assert not any(weight.requires_grad for weight in ema.parameters())


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant, {0.0: 1.0, 1.0: 1.0}),
        (partial(cosine_decay, start=0.5), {0.0: 1.0, 0.5: 1.0, 0.75: 0.5, 1.0: 0.0}),
        (partial(burn_in, end=0.1, until=0.2), {0.0: 1.0, 0.1: 0.55, 0.2: 0.1, 0.9: 0.1}),
    ],
)
def test_schedules_have_known_values(schedule, values):
    for progress, factor in values.items():
        assert schedule(progress) == pytest.approx(factor)
