"""Parts of one's own that do not fit are named before the training starts."""

import pytest
import torch
from torch import nn

from cgan import train
from cgan.data.datamodule import ImageData
from cgan.data.sources import Split
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


@register
class Shifted(LightGenerator):
    """Draws otherwise at once than in parts."""

    def forward(self, z, labels):
        return (super().forward(z, labels) + 0.5 * labels.view(-1, 1, 1, 1) + 0.1).clamp(-1, 1)


def test_a_generator_that_draws_otherwise_at_once_than_in_parts_is_refused():
    """Morphs and exports would lack what `forward` adds."""
    with pytest.raises(CganError, match=r"^Shifted: forward\(z, labels\) is not synthesize\(z, embed\(labels\)\), "):
        ConditionalGAN(*pair(Shifted))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda fake: fake.mean((1, 2, 3)), r"^function returns a tensor of shape \(2,\) .* expected \(\), a scalar$"),
        (lambda fake: 0.5, r"^function returns float: expected a scalar tensor$"),
    ],
)
def test_a_regulariser_that_returns_no_scalar_is_refused(value, message):
    with pytest.raises(CganError, match=message):
        ConditionalGAN(*pair(), regulariser=lambda generator, z, labels, fake: value(fake))


def test_a_schedule_that_returns_no_number_is_refused():
    with pytest.raises(CganError, match=r"^schedule.penalty at progress 0.0=\(1.0,\): expected a number from 0$"):
        ConditionalGAN(*pair(), penalty_schedule=lambda progress: (1.0,))


class Given:
    """A source of given images and labels."""

    def __init__(self, images, labels):
        self.spec, self.images, self.labels = SPEC, images, labels

    def prepare(self):
        pass

    def load(self, split):
        return Split(self.images, self.labels)


IMAGES, LABELS = torch.zeros(5, 3, 20, 12, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.float(), LABELS, "images float32 (5, 3, 20, 12), expected uint8 (N, 3, 20, 12)"),
        (IMAGES.transpose(2, 3), LABELS, "images uint8 (5, 3, 12, 20), expected uint8 (N, 3, 20, 12)"),
        (IMAGES, LABELS[:4], "labels of shape (4,), expected 5 whole numbers"),
        (IMAGES, LABELS + 1.5, "labels of shape (5,), expected 5 whole numbers"),
        (IMAGES, torch.arange(5), "labels 0 to 4, expected 0 to 1"),
    ],
)
def test_images_and_labels_that_are_not_those_of_the_data_set_are_refused(images, labels, message):
    with pytest.raises(CganError) as caught:
        _ = ImageData(Given(images, labels)).test
    assert str(caught.value) == f"Given.load('test'): {message}"


LINE = "a line `_target_: package.module.Class`"
OWN_KEY = "expected a part under a key of its own, `my_part:`, with"


@pytest.mark.parametrize(
    ("group", "text", "message"),
    [
        ("callbacks", "_target_: some.Diary", f"callbacks._target_: {OWN_KEY} {LINE}"),
        ("callbacks", "mine: {weight: 1}", f"callbacks.mine: {OWN_KEY} {LINE}"),
        ("metrics", "mine: {weight: 1}", f"metrics.mine: {OWN_KEY} {LINE}"),
        (
            "schedule",
            "lr: {_target_: cgan.schedules.constant, _partial_: true}",
            f"schedule=mine: its YAML lacks schedule.penalty with {LINE} (a schedule has lr and penalty: ",
        ),
        ("data", "batch_size: 8\nconditional: true", f"data.source: expected {LINE} in the data set's YAML"),
        ("loss", "weight: 1", f"loss=mine: its YAML lacks {LINE}"),
    ],
)
def test_a_yaml_that_names_no_class_is_refused(group, text, message, tmp_path):
    (tmp_path / "conf" / group).mkdir(parents=True)
    (tmp_path / "conf" / group / "mine.yaml").write_text(f"{text}\n")
    words = ["trainer=cpu", *([] if group == "data" else ["data=mnist5k"]), f"{group}=mine"]
    with pytest.raises(CganError) as caught:
        train(*words, config_dirs=[tmp_path / "conf"], folder=tmp_path / "run")
    assert str(caught.value).startswith(message)
