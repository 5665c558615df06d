import copy
import itertools

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cgan.config import CONF
from cgan.errors import CganError
from cgan.networks import GENERATORS
from cgan.networks.base import CentreCrop, base_grid
from cgan.networks.dcgan import DCGANDiscriminator
from cgan.networks.dropout import Dropout
from cgan.networks.r3 import ResidualBlock

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SHAPES = [(1, 28, 28), (3, 32, 32)]
GROWN = [(28, 28), (32, 32), (48, 64), (50, 50), (64, 64), (128, 128)]
LIGHT = ["model.generator.width=4", "model.discriminator.channels=[4,8,8]", "model.discriminator.hidden=8"]
STYLE = ["model.generator.width=4", "model.generator.max_width=8"]
SMALL = {
    "mlp": ["model.generator.hidden=[8,8]", "model.discriminator.hidden=[8]"],
    "dcgan": ["model.generator.channels=[8,8,4]", "model.discriminator.channels=[4,8]"],
    "light": LIGHT,
    "light_wide": LIGHT,
    "light_sharp": LIGHT,
    "r3": ["model.generator.width=8", "model.discriminator.width=8"],
    "r3_full": ["model.generator.width=8", "model.discriminator.width=8"],
    "style_full": [*STYLE, "model.generator.w_dim=8", "model.discriminator.width=8"],
    "style": [*STYLE, *LIGHT[1:]],
    "style_wide": [*STYLE, *LIGHT[1:]],
}


CHOSEN = {}
"""Composed once for all tests, which takes longer than to build the networks."""


def pair(composed, model, shape, *overrides):
    if (model, overrides) not in CHOSEN:
        CHOSEN[model, overrides] = composed("train", f"model={model}", *overrides)
    return built(CHOSEN[model, overrides], shape)


def built(cfg, shape):
    sizes = {"num_classes": 10, "img_shape": list(shape), "_convert_": "all"}
    torch.manual_seed(0)
    return instantiate(cfg.model.generator, **sizes), instantiate(cfg.model.discriminator, **sizes)


def check_shapes_and_gradients(generator, discriminator, shape):
    labels = torch.tensor([3, 3, 9])
    images = generator(torch.randn(3, generator.z_dim), labels)
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    logits = discriminator(images, labels)
    assert logits.shape == (3,)
    logits.square().sum().backward()
    for network in (generator, discriminator):
        for name, weight in network.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().sum() > 0, name


def stir(network):
    """Move weights that start at 0, behind which nothing gets a gradient."""
    for weight in network.parameters():
        if not weight.any():
            nn.init.normal_(weight, 0, 0.1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS)
def test_shapes_ranges_and_gradients(composed, model, shape):
    both = pair(composed, model, shape)
    for network in both:
        stir(network)
    check_shapes_and_gradients(*both, shape)


@pytest.mark.parametrize("model", SMALL)
def test_networks_grow_with_the_image(composed, model):
    cfg = composed("train", f"model={model}", *SMALL[model])
    for size, channels in itertools.product(GROWN, (1, 3, 4)):
        both = built(cfg, (channels, *size))
        for network in both:
            stir(network)
        check_shapes_and_gradients(*both, (channels, *size))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((28, 28), (7, 7, 2)),
        ((32, 32), (8, 8, 2)),
        ((33, 40), (5, 5, 3)),
        ((48, 64), (6, 8, 3)),
        ((50, 50), (7, 7, 3)),
        ((64, 64), (8, 8, 3)),
        ((128, 128), (8, 8, 4)),
        ((16, 64), (4, 16, 2)),
        ((8, 8), (2, 2, 2)),
    ],
)
def test_the_base_grid_has_4_to_8_pixels_a_side(size, expected):
    assert base_grid((3, *size)) == expected


def test_images_that_the_classic_discriminator_would_halve_to_nothing_are_refused():
    with pytest.raises(CganError, match=r"dcgan: expected 4 pixels a side or more, found 4x3; choose model/disc"):
        DCGANDiscriminator(num_classes=2, img_shape=(1, 4, 3))
    logits = DCGANDiscriminator(num_classes=2, img_shape=(1, 4, 5))(torch.zeros(1, 1, 4, 5), torch.tensor([1]))
    assert logits.shape == (1,)
    with pytest.raises(CganError, match=r"dcgan: expected 8 pixels a side or more, found 7x9"):
        DCGANDiscriminator(num_classes=2, img_shape=(1, 7, 9), channels=(4, 4, 4))


def test_a_crop_takes_the_middle():
    picture = torch.arange(5 * 7.0).view(1, 1, 5, 7)
    assert torch.equal(CentreCrop(3, 4)(picture), picture[:, :, 1:4, 1:5])
    assert torch.equal(CentreCrop(5, 7)(picture), picture)


@pytest.mark.parametrize("size", [64, 128])
def test_light_stays_small(composed, size):
    for network in pair(composed, "light", (3, size, size)):
        assert sum(weight.numel() for weight in network.parameters()) <= 1_000_000


@pytest.mark.parametrize(("model", "shape"), [("light", (3, 32, 32)), ("light", (1, 64, 64)), ("r3", (3, 32, 32))])
def test_an_even_map_gives_an_even_image_without_dots_or_stripes(composed, model, shape):
    """Whatever the weights: all that follows the base grid treats all pixels alike, away from the border."""
    generator = pair(composed, model, shape)[0]
    start = 3 if model == "light" else 2
    channels = generator.layers[:start](torch.randn(2, 96)).shape[1]
    finer = generator.layers[start:-2]  # without tanh and crop
    for weight in finer.parameters():
        nn.init.normal_(weight, 0, 0.5)
    image = finer(torch.randn(1, channels, 1, 1).expand(-1, -1, 12, 12))[0]
    centre = image.shape[1] // 2
    middle = image[:, centre - 4 : centre + 4, centre - 4 : centre + 4]
    assert (middle - middle[:, :1, :1]).abs().max() < 1e-4 * middle.abs().max()


def test_any_generator_meets_any_discriminator(composed):
    both = pair(composed, "light", (3, 32, 32), "model/generator=mlp", "model/discriminator=dcgan")
    assert [type(network).__name__ for network in both] == ["MLPGenerator", "DCGANDiscriminator"]
    assert both[1](both[0](torch.randn(2, 100), torch.tensor([1, 2])), torch.tensor([1, 2])).shape == (2,)


@pytest.mark.parametrize("model", MODELS)
def test_both_sides_see_the_label(composed, model):
    generator, discriminator = (network.eval() for network in pair(composed, model, (1, 28, 28)))
    z = torch.randn(1, generator.z_dim)
    three, eight = generator(z, torch.tensor([3])), generator(z, torch.tensor([8]))
    assert (three - eight).abs().max() > 1e-4
    assert discriminator(three, torch.tensor([3])) != discriminator(three, torch.tensor([8]))


@pytest.mark.parametrize("model", MODELS)
def test_in_eval_mode_a_picture_does_not_depend_on_its_neighbours(composed, model):
    generator = pair(composed, model, (1, 28, 28))[0]
    for _ in range(3):  # batch norm gets running statistics
        generator(torch.randn(8, generator.z_dim), torch.arange(8))
    generator.eval()
    z, labels = torch.randn(8, generator.z_dim), torch.arange(8)
    torch.testing.assert_close(generator(z, labels)[5:6], generator(z[5:6], labels[5:6]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_blending_embeddings_needs_no_second_interface(composed, model):
    generator = pair(composed, model, (1, 28, 28))[0].eval()
    z, labels = torch.randn(2, generator.z_dim), torch.tensor([1, 7])
    torch.testing.assert_close(generator.synthesize(z, generator.embed(labels)), generator(z, labels))


@pytest.mark.parametrize("model", MODELS)
def test_a_generator_is_rebuilt_from_its_own_config(composed, model):
    generator = pair(composed, model, (3, 32, 32), "model.generator.z_dim=17")[0]
    again = GENERATORS[type(generator).__name__](**generator.config)
    again.load_state_dict(generator.state_dict())
    assert again.z_dim == 17
    assert copy.deepcopy(generator).config == generator.config


@pytest.mark.parametrize("conditioning", ["concat", "projection"])
@pytest.mark.parametrize("model", ["dcgan", "light", "light_wide", "mlp"])
def test_every_discriminator_with_choices_takes_every_conditioning_and_norm(composed, model, conditioning):
    overrides = [f"model.discriminator.{option}" for option in (f"conditioning={conditioning}", "norm=spectral")]
    discriminator = pair(composed, model, (1, 28, 28), *overrides)[1]
    for _ in range(30):  # power iterations
        discriminator(torch.randn(4, 1, 28, 28), torch.arange(4))
    matrices = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Embedding)]
    assert len(matrices) >= 2
    for matrix in matrices:
        assert torch.linalg.matrix_norm(matrix.weight, 2).item() == pytest.approx(1, abs=0.05)


def test_the_classic_pairs_have_the_layers_people_know(composed):
    generator, discriminator = pair(composed, "mlp", (1, 28, 28))
    sizes = [(m.in_features, m.out_features) for m in generator.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(110, 256), (256, 512), (512, 1024), (1024, 784)]
    assert [m.eps for m in generator.modules() if isinstance(m, nn.BatchNorm1d)] == [1e-5] * 3
    sizes = [(m.in_features, m.out_features) for m in discriminator.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(794, 512), (512, 256), (256, 1)]
    assert [m.p for m in discriminator.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]

    generator, discriminator = pair(composed, "dcgan", (1, 28, 28))
    assert [(m.in_features, m.out_features) for m in generator.modules() if isinstance(m, nn.Linear)] == [(150, 12544)]
    ups = [(m.in_channels, m.out_channels, m.stride) for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert ups == [(256, 128, (2, 2)), (128, 64, (2, 2))]
    downs = [(m.in_channels, m.out_channels, m.stride) for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert downs == [(2, 64, (2, 2)), (64, 128, (2, 2))]
    assert generator.layers[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert generator.embedding.weight.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize(
    ("model", "override", "words"),
    [
        ("dcgan", "model.generator.channels=[8,4]", "expected 3 widths"),
        ("r3", "model.generator.width=12", "multiple of 8"),
        ("light", "model.generator.width=abc", r"model.generator.width=abc: expected a whole number from 1"),
        ("light", "model.generator.z_dim=-1", r"model.generator.z_dim=-1: expected a whole number from 1"),
        ("light", "model.discriminator.channels=[8,0.5]", r"model.discriminator.channels=0.5: expected a whole number"),
        ("mlp", "model.discriminator.hidden=256", r"model.discriminator.hidden=256: expected a list of whole numbers"),
        ("light", "model.generator.low_pass=maybe", r"model.generator.low_pass=maybe: expected true or false"),
        ("style", "model.generator.dense=0", r"model.generator.dense=0: expected true or false"),
        ("style", "model.generator.dense=null", r"model.generator.dense=None: expected true or false"),
        ("mlp", "model.generator.hidden=[]", r"model.generator.hidden=\[\]: expected a list of whole numbers"),
        ("mlp", "model.discriminator.dropout=2", r"model.discriminator.dropout=2: expected a share from 0 to 1"),
        ("r3", "model.discriminator.blocks=null", r"model.discriminator.blocks=None: expected a whole number from 1"),
        ("style_wide", "model.generator.width=0", r"model.generator.width=0: expected a whole number from 1"),
    ],
)
def test_widths_that_do_not_fit_are_named(composed, model, override, words):
    with pytest.raises(Exception, match=words) as caught:
        pair(composed, model, (1, 28, 28), override)
    assert isinstance(caught.value.__cause__, CganError)


@pytest.mark.parametrize("option", ["conditioning=auxiliary", "norm=batch"])
def test_unknown_choices_are_named(composed, option):
    with pytest.raises(Exception, match=option.split("=")[1]):
        pair(composed, "mlp", (1, 28, 28), f"model.discriminator.{option}")


def flops_per_image(composed, model):
    """Count one alternating step as the module does it: one generator forward serves both sides."""
    generator, discriminator = pair(composed, model, (1, 28, 28))
    labels = torch.arange(8)
    with FlopCounterMode(display=False) as counter:
        fake = generator(torch.randn(8, generator.z_dim), labels)
        both = torch.cat([torch.randn(8, 1, 28, 28), fake.detach()])
        discriminator(both, torch.cat([labels, labels])).sum().backward()
        discriminator(fake, labels).sum().backward()
    return counter.get_total_flops() / 8


def test_light_costs_at_most_a_tenth_of_dcgan(composed):
    assert flops_per_image(composed, "light") <= flops_per_image(composed, "dcgan") / 10


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64)])
def test_r3_passes_its_signal_on_and_saturates_nothing(composed, shape):
    generator, discriminator = pair(composed, "r3", shape)
    labels = torch.arange(64) % 10
    images = generator(torch.randn(64, generator.z_dim), labels)
    assert images.std(0).mean() > 0.2, "latents show"
    assert (images.abs() > 0.99).float().mean() < 0.001
    assert 0.1 < discriminator(images, labels).std() < 1


def test_a_residual_block_starts_as_the_identity_and_learns_at_once():
    block = ResidualBlock(8, blocks=3)
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.layers[4].weight.grad.abs().min() > 0
    assert block.layers[2].groups == 1
    assert ResidualBlock(64, 3).layers[2].groups == 8, "16 channels per group"
    spread = ResidualBlock(64, 16).layers[0].weight.std().item()
    assert spread == pytest.approx((2 / 1.04) ** 0.5 / 2 / 8, rel=0.03), "gain of LeakyReLU * 16 ** -1/4 / sqrt(64)"


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_keeps_the_mean_and_drops_its_share(memory_format):
    torch.manual_seed(0)
    x = torch.full((40, 30, 9, 7), 2.0).to(memory_format=memory_format).requires_grad_()  # 75,600: no multiple of 256
    dropped = Dropout(0.3)(x)
    assert dropped.is_contiguous(memory_format=memory_format)
    assert dropped.unique().tolist() == pytest.approx([0.0, 2 * 256 / 179])
    assert (dropped == 0).float().mean().item() == pytest.approx(77 / 256, abs=0.006)  # 3.6 deviations
    assert dropped.mean().item() == pytest.approx(2.0, abs=0.02)
    dropped.sum().backward()
    assert torch.equal(x.grad == 0, dropped == 0)
    assert torch.equal(Dropout(0.3).eval()(x), x)
    torch.manual_seed(0)
    assert torch.equal(Dropout(0.3)(x), dropped)


def test_dropout_of_nothing_and_of_everything():
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(3, 5))
