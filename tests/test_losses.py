import math

import pytest
import torch

from cgan.losses.adversarial import BCE, Hinge, LeastSquares, Relativistic, Wasserstein
from cgan.losses.game import Game
from cgan.losses.penalties import R1, R1R2, Pair, WganGP

REAL, FAKE = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.5])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


@pytest.mark.parametrize(
    ("loss", "d", "g"),
    [
        (
            BCE(),
            (softplus(-2) + softplus(1) + softplus(0.5) + softplus(1.5)) / 2,
            (softplus(-0.5) + softplus(-1.5)) / 2,
        ),
        (LeastSquares(), ((1 + 4) / 2 + (0.25 + 2.25) / 2) / 2, (0.25 + 0.25) / 2 / 2),
        (Hinge(), (0 + 2) / 2 + (1.5 + 2.5) / 2, -1.0),
        (Wasserstein(), 1.0 - 0.5, -1.0),
        (Relativistic(), (softplus(-1.5) + softplus(2.5)) / 2, (softplus(1.5) + softplus(-2.5)) / 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_losses_have_the_values_of_their_formulas(loss, d, g):
    assert loss.discriminator(REAL, FAKE).item() == pytest.approx(d)
    assert loss.generator(FAKE, REAL).item() == pytest.approx(g)


def test_bce_starts_at_two_log_two():
    assert BCE().discriminator(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))


def test_relativistic_generator_needs_real_logits():
    with pytest.raises(ValueError, match="real_logits"):
        Relativistic().generator(FAKE)


def pair() -> Pair:
    torch.manual_seed(0)
    return Pair(torch.randn(3, 1, 2, 2), torch.tensor([0, 1, 0]), torch.randn(3, 1, 2, 2), torch.tensor([2, 2, 2]))


WEIGHT = torch.tensor([1.0, -2.0, 0.5, 3.0])


def linear(images, labels):
    return images.flatten(1) @ WEIGHT


def twice_as_steep_for_class_two(images, labels):
    return linear(images, labels) * (1 + (labels == 2))


def test_r1_of_a_linear_critic_is_its_squared_weight():
    judged = R1(gamma=2.0)(twice_as_steep_for_class_two, pair())
    assert judged.penalty.item() == pytest.approx(WEIGHT.square().sum().item())


def test_r1r2_counts_real_and_fake_apart():
    judged = R1R2(gamma=2.0)(twice_as_steep_for_class_two, pair())
    assert judged.penalty.item() == pytest.approx(WEIGHT.square().sum().item() * (1 + 4))


def test_wgan_gp_measures_the_distance_of_the_slope_from_one():
    slope = WEIGHT.norm().item()
    judged = WganGP(weight=10.0)(linear, pair())
    assert judged.penalty.item() == pytest.approx(10 * (slope - 1) ** 2, rel=1e-5)


@pytest.mark.parametrize("penalty", [R1(1.0), R1R2(1.0), WganGP(1.0)], ids=lambda value: type(value).__name__)
def test_penalties_return_the_logits_of_real_and_fake(penalty):
    given = pair()
    judged = penalty(twice_as_steep_for_class_two, given)
    assert torch.allclose(judged.real_logits, given.real.flatten(1) @ WEIGHT)
    assert torch.allclose(judged.fake_logits, 2 * (given.fake.flatten(1) @ WEIGHT))


def test_penalties_are_differentiable_in_the_critic_also_where_its_slope_is_zero():
    weight = torch.zeros(4, requires_grad=True)

    def dead(images, labels):
        return images.flatten(1) @ weight

    WganGP(weight=10.0)(dead, pair()).penalty.backward()
    assert weight.grad.isfinite().all()


def reads_labels(images, labels):
    """Logits 5, 3 and 1 for labels 0, 1 and 2, whatever the image."""
    return 5.0 - 2 * labels


def test_mismatch_plays_right_labels_against_all_others():
    torch.manual_seed(0)
    labels = torch.ones(3000, dtype=torch.long)
    images = torch.zeros(3000, 1, 1, 1)
    game = Game(reads_labels, Hinge(), None, None, mismatch=0.25, num_classes=3)
    stats = game.discriminator(Pair(images, labels, images, torch.full_like(labels, 2)), torch.ones(()))
    assert stats["d_loss"].item() == pytest.approx(0 + 2)
    assert stats["d_mismatched"].item() == pytest.approx(3, abs=0.2)  # 5 and 1, half each; never 3 itself
    assert stats["loss"].item() == pytest.approx(2 + 0.25 * (1 + stats["d_mismatched"].item()))
    seen = game._other_labels(labels)
    assert set(seen.tolist()) == {0, 2}


def test_what_is_not_played_is_not_in_the_numbers():
    game = Game(linear, Hinge(), None, None, mismatch=0.0, num_classes=3)
    stats = game.discriminator(pair(), torch.ones(()))
    assert sorted(stats) == ["d_fake", "d_loss", "d_real", "loss"]
    assert stats["loss"] is stats["d_loss"]


def test_the_penalty_is_scaled_by_its_factor():
    game = Game(linear, Hinge(), R1(gamma=2.0), None, mismatch=0.0, num_classes=3)
    stats = game.discriminator(pair(), torch.tensor(0.5))
    assert stats["penalty"].item() == pytest.approx(WEIGHT.square().sum().item() / 2)
    assert stats["loss"].item() == pytest.approx((stats["d_loss"] + stats["penalty"]).item())
