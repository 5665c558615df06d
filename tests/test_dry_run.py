"""Parts of one's own that do not fit are named before the training starts."""

import pytest
import torch
from torch import nn

from cgan.errors import CganError
from cgan.losses.adversarial import BCE, Relativistic
from cgan.module import ConditionalGAN
from cgan.networks.base import CentreCrop
from cgan.networks.dcgan import DCGANGenerator
from cgan.networks.light import LightDiscriminator, LightGenerator
from cgan.plugins import register
from cgan.spec import DataSpec

SPEC = DataSpec("tall", (3, 20, 12), ("a", "b"))
SIZES = {"num_classes": 2, "img_shape": SPEC.img_shape}


@register
class TooSmall(LightGenerator):
    def __init__(self, *, num_classes: int, img_shape: tuple[int, int, int]) -> None:
        super().__init__(num_classes=num_classes, img_shape=img_shape, width=4)
        self.layers[-1] = CentreCrop(12, 8)


class PerPixel(LightDiscriminator):
    def forward(self, images, labels):
        return images.mean(1)


class Summed(BCE):
    def g_loss(self, fake_logits, real_logits=None):
        return -fake_logits


def pair(generator=LightGenerator, discriminator=LightDiscriminator):
    return generator(**SIZES), discriminator(**SIZES), SPEC


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"generator": TooSmall},
            "TooSmall draws images of shape (2, 3, 12, 8) for 2 latents: expected (2, 3, 20, 12), ",
        ),
        (
            {"discriminator": PerPixel},
            "PerPixel returns logits of shape (2, 20, 12) for 2 latents: expected (2,), one ",
        ),
        ({"loss": Summed()}, "Summed returns from g_loss a tensor of shape (2,) for 2 latents: expected (), a scalar"),
    ],
)
def test_a_part_of_the_wrong_shape_is_named(parts, message):
    loss = parts.pop("loss", Relativistic())
    with pytest.raises(CganError) as caught:
        ConditionalGAN(*pair(**parts), loss=loss)
    assert str(caught.value).startswith(message)


def test_a_dry_run_leaves_weights_modes_and_random_streams():
    generator, discriminator, spec = pair(DCGANGenerator)
    frozen = next(module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    stream = torch.get_rng_state()
    ConditionalGAN(generator, discriminator, spec)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(torch.equal(before[name], value) for name, value in generator.state_dict().items())
    assert [module for module in generator.modules() if not module.training] == [frozen]
