import math
import re

import pytest
import torch
from torch import nn

from cgan.errors import CganError
from cgan.losses.adversarial import BCE, Hinge, LeastSquares, Relativistic, Wasserstein
from cgan.losses.penalties import R1, R1R2, Batch, WganGP
from cgan.losses.regularisers import ModeSeeking
from cgan.module import ConditionalGAN
from cgan.networks.base import Discriminator, Generator
from cgan.plugins import register
from cgan.spec import DataSpec

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
    assert loss.d_loss(REAL, FAKE).item() == pytest.approx(d)
    assert loss.g_loss(FAKE, REAL).item() == pytest.approx(g)


def test_bce_starts_at_two_log_two():
    assert BCE().d_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))


def test_relativistic_generator_needs_real_logits():
    with pytest.raises(ValueError, match="real_logits"):
        Relativistic().g_loss(FAKE)


def batch() -> Batch:
    torch.manual_seed(0)
    return Batch(torch.randn(3, 1, 2, 2), torch.tensor([0, 1, 0]), torch.randn(3, 1, 2, 2), torch.tensor([2, 2, 2]))


WEIGHT = torch.tensor([1.0, -2.0, 0.5, 3.0])


def linear(images, labels):
    return images.flatten(1) @ WEIGHT


def twice_as_steep_for_class_two(images, labels):
    return linear(images, labels) * (1 + (labels == 2))


def test_r1_of_a_linear_discriminator_is_its_squared_weight():
    penalised = R1(gamma=2.0)(twice_as_steep_for_class_two, batch())
    assert penalised.penalty.item() == pytest.approx(WEIGHT.square().sum().item())


def test_r1r2_counts_real_and_fake_apart():
    penalised = R1R2(gamma=2.0)(twice_as_steep_for_class_two, batch())
    assert penalised.penalty.item() == pytest.approx(WEIGHT.square().sum().item() * (1 + 4))


def as_steep_as_its_class(images, labels):
    return linear(images, labels) * (1 + labels)


@pytest.mark.parametrize(("share", "real", "fake"), [(0.3, 1, 9), (0.5, (1 + 4) / 2, 9), (1, (1 + 4 + 1) / 3, 9)])
def test_penalties_take_the_gradients_of_a_share_of_the_batch(share, real, fake):
    """Steepness 1, 2, 1 at real images and 3 at each fake one; the logits are those of all images."""
    given, squared = batch(), WEIGHT.square().sum().item()
    for penalty, expected in ((R1, real), (R1R2, real + fake)):
        penalised = penalty(2.0, share)(as_steep_as_its_class, given)
        assert penalised.penalty.item() == pytest.approx(squared * expected)
        assert torch.allclose(penalised.real_logits, as_steep_as_its_class(given.real, given.labels))
        assert torch.allclose(penalised.fake_logits, as_steep_as_its_class(given.fake, given.fake_labels))


@pytest.mark.parametrize("share", [0, -0.5, 1.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(CganError, match=re.escape(f"penalty.share={share}: expected a share above 0 and up to 1")):
        R1R2(1.0, share)


def test_wgan_gp_measures_the_distance_of_the_gradient_norm_from_one():
    norm = WEIGHT.norm().item()
    penalised = WganGP(weight=10.0)(linear, batch())
    assert penalised.penalty.item() == pytest.approx(10 * (norm - 1) ** 2, rel=1e-5)


@pytest.mark.parametrize("penalty", [R1(1.0), R1R2(1.0), WganGP(1.0)], ids=lambda value: type(value).__name__)
def test_penalties_return_the_logits_of_real_and_fake(penalty):
    given = batch()
    penalised = penalty(twice_as_steep_for_class_two, given)
    assert torch.allclose(penalised.real_logits, given.real.flatten(1) @ WEIGHT)
    assert torch.allclose(penalised.fake_logits, 2 * (given.fake.flatten(1) @ WEIGHT))


def test_penalties_are_differentiable_in_the_discriminator_also_where_its_gradient_is_zero():
    weight = torch.zeros(4, requires_grad=True)

    def constant(images, labels):
        return images.flatten(1) @ weight

    WganGP(weight=10.0)(constant, batch()).penalty.backward()
    assert weight.grad.isfinite().all()


def reads_labels(images, labels):
    """Logits 5, 3 and 1 for labels 0, 1 and 2, whatever the image."""
    return 5.0 - 2 * labels


class Stub(Discriminator):
    """A discriminator that is a plain function of images and labels."""

    def __init__(self, *, function, num_classes=3, img_shape=(1, 2, 2)):
        super().__init__(num_classes=num_classes, img_shape=img_shape)
        self.function = function

    def forward(self, images, labels):
        return self.function(images, labels)


@register
class Line(Generator):
    """Draws ``slope * z`` in every pixel."""

    def __init__(self, *, slope=2.0, num_classes=3, img_shape=(1, 2, 2)):
        super().__init__(z_dim=1, embed_dim=1, num_classes=num_classes, img_shape=img_shape)
        self.slope = nn.Parameter(torch.tensor(slope))

    def synthesize(self, z, embedding):
        return (self.slope * z).view(-1, 1, 1, 1).expand(-1, *self.img_shape)


def gan(function, **choices) -> ConditionalGAN:
    spec = DataSpec("stub", (1, 2, 2), ("a", "b", "c"))
    return ConditionalGAN(Line(), Stub(function=function), spec, loss=Hinge(), **choices)


def test_matching_aware_compares_right_labels_with_all_others():
    torch.manual_seed(0)
    labels = torch.ones(3000, dtype=torch.long)
    images = torch.zeros(3000, 1, 1, 1)
    module = gan(reads_labels, matching_aware=0.25)
    objective, stats = module.d_objective(Batch(images, labels, images, torch.full_like(labels, 2)), torch.ones(()))
    assert stats["d_loss"].item() == pytest.approx(0 + 2)
    assert stats["d_mismatched"].item() == pytest.approx(3, abs=0.2)  # 5 and 1, half each; never 3 itself
    assert objective.item() == pytest.approx(2 + 0.25 * (1 + stats["d_mismatched"].item()))
    assert set(module._other_labels(labels).tolist()) == {0, 2}


def test_what_is_not_optimised_is_not_in_the_numbers():
    objective, stats = gan(linear).d_objective(batch(), torch.ones(()))
    assert sorted(stats) == ["d_fake", "d_loss", "d_real"]
    assert objective is stats["d_loss"]
    objective, stats = gan(linear).g_objective(batch(), torch.zeros(3, 1))
    assert list(stats) == ["g_loss"]
    assert objective is stats["g_loss"]


def test_the_penalty_is_scaled_by_its_factor():
    objective, stats = gan(linear, penalty=R1(gamma=2.0)).d_objective(batch(), torch.tensor(0.5))
    assert stats["penalty"].item() == pytest.approx(WEIGHT.square().sum().item() / 2)
    assert objective.item() == pytest.approx((stats["d_loss"] + stats["penalty"]).item())


def test_mode_seeking_is_small_where_images_follow_their_latents():
    torch.manual_seed(0)
    z, labels = torch.randn(50, 1), torch.zeros(50, dtype=torch.long)
    steep, flat = (Line(slope=slope) for slope in (4.0, 0.5))
    values = [ModeSeeking(weight=3.0)(line, z, labels, line(z, labels)).item() for line in (steep, flat)]
    assert values == pytest.approx([3 / 4, 3 / 0.5], rel=1e-4)


def test_the_regulariser_is_added_to_the_generators_loss_alone():
    module = gan(linear, regulariser=ModeSeeking(weight=3.0))
    z, labels = torch.tensor([[1.0], [-2.0], [0.5]]), torch.tensor([2, 2, 2])
    fake = module.generator(z, labels)
    objective, stats = module.g_objective(batch()._replace(fake=fake), z)
    assert stats["regulariser"].item() == pytest.approx(1.5, rel=1e-4)
    assert stats["g_loss"].item() == pytest.approx(-linear(fake, labels).mean().item())
    assert objective.item() == pytest.approx((stats["g_loss"] + stats["regulariser"]).item())
    objective.backward()
    assert module.generator.slope.grad.isfinite()
