"""The style-based generator, and what its styles are good for."""

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import streamlit as st
import torch
from conftest import BARE
from fastapi.testclient import TestClient
from streamlit.testing.v1 import AppTest

from cgan import CganError, draw, load_generator, save_generator
from cgan.ema import GeneratorEMA
from cgan.networks.style import DenseConv, SeparableConv, StyleGenerator
from cgan.sampling.draw import render
from cgan.sampling.interpolate import morph
from cgan.sampling.invert import invert, like
from cgan.sampling.styles import class_means, mix, to_styles, truncate
from cgan.serving.api import create_app
from cgan.serving.service import Service
from cgan.serving.ui import PAGE
from cgan.spec import DataSpec
from cgan.tasks import export, sample, train, web

SMALL = {"width": 4, "max_width": 8, "w_dim": 8, "z_dim": 6, "embed_dim": 3}


def small(shape=(1, 28, 28), **options):
    """A generator whose noise shows and whose classes have means."""
    torch.manual_seed(0)
    generator = StyleGenerator(num_classes=3, img_shape=shape, **SMALL | options)
    for layer in generator.styled:
        torch.nn.init.constant_(layer.strength, 0.3)
    generator.mean_w.normal_()
    generator.spec = DataSpec("shapes", shape, ("circle", "square", "star"))
    return generator


@pytest.fixture
def generator():
    return small().eval().requires_grad_(False)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("size", "base", "layers"),
    [
        ((28, 28), (7, 7), 5),
        ((32, 32), (8, 8), 5),
        ((48, 64), (6, 8), 7),
        ((50, 50), (7, 7), 7),
        ((64, 64), (8, 8), 7),
        ((128, 128), (8, 8), 9),
    ],
)
def test_it_grows_with_the_image_and_every_weight_learns(size, base, layers, channels, dense):
    generator = small((channels, *size), dense=dense)
    assert generator.constant.shape[2:] == base
    assert generator.style_layers == len(generator.styled) == layers
    images = generator(torch.randn(6, 6), torch.tensor([0, 1, 2, 2, 1, 0]))
    assert images.shape == (6, channels, *size)
    assert images.abs().max() <= 1
    images.square().sum().backward()
    for name, weight in generator.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("convolution", [DenseConv, SeparableConv])
def test_demodulation_gives_unit_variance_whatever_the_style(convolution):
    """Of white noise, and times 2: the LeakyReLU that follows halves it again."""
    torch.manual_seed(1)
    layer = convolution(5, 24, 16)
    styles = torch.randn(4, 5) * torch.tensor([[0.1], [1.0], [10.0], [100.0]])
    inside = layer(torch.randn(4, 24, 64, 64), styles)[:, :, 1:-1, 1:-1]
    variances = inside.var((2, 3))
    assert variances.mean(1).tolist() == pytest.approx([2.0] * 4, rel=0.06)
    assert (variances / 2 - 1).abs().max() < 0.3


def test_both_sizes_modulate_as_scaled_weights_would():
    """``d * conv(s * x)`` is a convolution with weights ``w s / |w s|`` (Karras et al. 2020, equations 1 and 3)."""
    torch.manual_seed(2)
    dense, separable = DenseConv(3, 5, 4), SeparableConv(3, 5, 4)
    x, w = torch.randn(1, 5, 6, 7), torch.randn(1, 3)
    for layer in (dense, separable):
        torch.nn.init.normal_(layer.bias)
        kernel = layer.weight if layer is dense else layer.weight * layer.depthwise
        kernel = kernel * layer.scales(w).view(1, 5, 1, 1)
        kernel = 2**0.5 * kernel / kernel.flatten(1).norm(dim=1).view(4, 1, 1, 1)
        expected = torch.nn.functional.conv2d(x, kernel, layer.bias, padding=1)
        torch.testing.assert_close(layer(x, w), expected, rtol=1e-4, atol=1e-5)


def test_a_mix_has_the_coarse_layers_of_one_and_the_fine_layers_of_the_other(generator):
    a, b, labels = torch.randn(2, 6), torch.randn(2, 6), torch.tensor([2, 0])
    both = [to_styles(generator, z, labels) for z in (a, b)]
    mixed = mix(generator, a, b, labels, crossover=2)
    assert torch.equal(mixed[:, :2], both[0][:, :2])
    assert torch.equal(mixed[:, 2:], both[1][:, 2:])
    assert torch.equal(mix(generator, a, b, labels), mixed), "the middle of five layers"
    maps = {}
    generator.styled[1].register_forward_hook(lambda _, __, output: maps.setdefault(len(maps), output))
    for styles in (*both, mixed):
        generator.paint(styles)
    assert torch.equal(maps[2], maps[0])
    assert not torch.equal(maps[2], maps[1])
    images = [render(generator, styles, labels).int() for styles in (*both, mixed)]
    assert (images[2] - images[0]).abs().max() > 3
    assert (images[2] - images[1]).abs().max() > 3


def test_training_mixes_within_each_image_and_never_the_first_layer():
    generator = small(mixing=1.0)
    first = torch.full((200, 5, 8), 7.0)
    mixed = generator._mixed(first, torch.randn(200, 3))
    taken = (mixed == 7).all(2)
    assert taken[:, 0].all()
    assert sorted(taken.sum(1).unique().tolist()) == [1, 2, 3, 4]
    assert (taken.int().diff(dim=1) <= 0).all(), "fine layers are the last ones"
    assert torch.equal(small(mixing=0.0)._mixed(first, torch.randn(200, 3)), first)


def test_the_mean_style_is_that_of_the_images_seen():
    generator = small()
    generator.mean_w.zero_()
    seen = []
    generator.mapping.register_forward_hook(lambda _, __, output: seen.append(output))
    for labels in ([0, 0, 1, 0], [1, 1, 1, 0]):
        generator(torch.randn(4, 6), torch.tensor(labels))
    first, second = seen[0], seen[2]  # the others are mixed in
    mean = torch.stack([torch.cat([first[[0, 1, 3]], second[3:]]).mean(0), torch.cat([first[2:3], second[:3]]).mean(0)])
    torch.testing.assert_close(generator.mean_w[:2], mean)
    assert not generator.mean_w[2].any()
    for _ in range(300):  # then the last 500 of a class count
        generator(torch.randn(8, 6), torch.ones(8, dtype=torch.int64))
    mean = torch.stack([styles.mean(0) for styles in seen[-600::2]]).mean(0)
    assert (generator.mean_w[1] - mean).abs().max() < 0.15 * seen[-2].std(0).max()
    assert generator.w_counts.flatten().tolist() == [4, 500, 0]


def test_truncation_0_is_the_mean_of_the_class_and_1_changes_nothing(generator):
    z, labels = torch.randn(3, 6), torch.tensor([1, 2, 1])
    mean = generator.mean_w[labels].unsqueeze(1).expand(-1, 5, -1)
    assert torch.equal(truncate(generator, z, labels, 0.0), mean)
    assert torch.equal(truncate(generator, z, labels, 1.0), to_styles(generator, z, labels))
    half = (mean + to_styles(generator, z, labels)) / 2
    torch.testing.assert_close(truncate(generator, z, labels, 0.5), half)
    images = draw(generator, labels, seed=4, truncation=0)
    assert torch.equal(images, render(generator, mean, labels))
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])


def test_noise_is_fresh_in_training_and_fixed_afterwards(generator):
    labels = torch.tensor([0, 1])
    z = torch.randn(2, 6)
    assert torch.equal(generator(z, labels), generator(z, labels))
    torch.testing.assert_close(generator(z, labels)[1:], generator(z[1:], labels[1:]))
    drawn = generator(z, labels)
    generator.styled[3].noise.normal_()
    assert not torch.equal(generator(z, labels), drawn), "noise shows"
    trained = small(mixing=0.0)
    assert not torch.equal(trained(z, labels), trained(z, labels))


def test_the_average_follows_the_mean_style_and_keeps_the_noise():
    generator = small()
    ema = GeneratorEMA(generator, half_life_images=4, ramp=1.0)
    noise, before = generator.styled[0].noise.clone(), generator.mean_w.clone()
    generator.mean_w += 1
    ema.update(4, 100)
    assert torch.equal(ema.generator.styled[0].noise, noise)
    torch.testing.assert_close(ema.generator.mean_w, before + 0.5)


def test_a_morph_goes_through_styles_and_meets_both_ends(generator):
    z, labels = torch.randn(2, 6), torch.tensor([0, 2])
    film = morph(generator, (z[0], z[1]), (0, 2), 3, truncation=0.7)
    ends = truncate(generator, z, labels, 0.7)
    expected = torch.cat([ends[:1], ends.mean(0, keepdim=True), ends[1:]])
    assert (film.int() - render(generator, expected, torch.zeros(3)).int()).abs().max() <= 1


def test_an_image_is_found_again_in_the_styles(generator):
    """A mix cannot be drawn from one latent; what is left of it goes along to the other classes."""
    z = torch.randn(2, 6, generator=torch.Generator().manual_seed(3))
    target = render(generator, mix(generator, z[:1], z[1:], torch.tensor([2])), torch.tensor([2]))[0]
    found = invert(generator, target, label=2, steps=60)
    best = to_styles(generator, found.z.unsqueeze(0), torch.tensor([2]))
    alone = render(generator, best, torch.tensor([2]))[0]
    assert found.error < ((alone.float() - target.float()) / 255).square().mean()
    styles = like(generator, found, torch.tensor([2, 0]))
    assert torch.equal(render(generator, styles, torch.tensor([2, 0]))[0], found.reconstruction)
    torch.testing.assert_close(
        styles[1] - to_styles(generator, found.z.unsqueeze(0), torch.tensor([0]))[0], found.shift
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout") / "logs" / "exports" / "small"
    save_generator(small().eval(), folder)
    return folder


def test_an_export_keeps_means_and_noise(exported):
    original, loaded = small(), load_generator(exported)
    for name, tensor in original.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert {"mean_w", "w_counts", "styled.4.noise"} <= original.state_dict().keys()


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"width": 2**30}, "not a readable generator"),
        ({"w_dim": 2**30}, "not a readable generator"),
        ({"max_width": 0}, "max_width=0: expected a whole number from 1"),
        ({"mixing": 2}, "mixing=2: expected a share"),
        ({"img_shape": [1, 2**30, 2**30]}, "not a readable generator"),
    ],
)
def test_an_untrusted_file_cannot_claim_other_sizes(exported, tmp_path, claim, said):
    described = json.loads((exported / "config.json").read_text())
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(described | {"config": described["config"] | claim}))
    with pytest.raises(CganError, match=said):
        load_generator(tmp_path)


@pytest.mark.slow
def test_onnxruntime_draws_maps_and_mixes_the_same(exported, composed, tmp_path, generator):
    out = export.run(composed("export", f"ckpt={exported}", "format=onnx", f"out={tmp_path / 'small.onnx'}"))
    whole, painter = (onnxruntime.InferenceSession(path) for path in (out, tmp_path / "small.w.onnx"))
    a, b, labels = torch.randn(5, 6), torch.randn(5, 6), torch.tensor([2, 0, 1, 1, 0])
    images, first = whole.run(["images", "w"], {"z": a.numpy(), "labels": labels.numpy()})
    np.testing.assert_allclose(images, generator(a, labels).numpy(), atol=1e-4)
    (second,) = whole.run(["w"], {"z": b.numpy(), "labels": labels.numpy()})
    mixed = np.concatenate([first[:, :2], second[:, 2:]], axis=1)
    (images,) = painter.run(None, {"w": mixed})
    np.testing.assert_allclose(images, generator.paint(mix(generator, a, b, labels)).numpy(), atol=1e-4)
    mean = np.array(json.loads(painter.get_modelmeta().custom_metadata_map["mean_w"]), np.float32)
    np.testing.assert_array_equal(mean, class_means(generator).numpy())


def test_sample_mixes_two_seeds(exported, composed, generator):
    requests = ["classes=star", "n=2", f"ckpt={exported}"]
    done = sample.run(composed("sample", *requests, "mix=[5,6]", "crossover=1", "truncation=0.8"))
    labels = torch.tensor([2, 2])
    both = [truncate(generator, z, labels, 0.8) for z in (latents_of(5), latents_of(6))]
    expected = render(generator, torch.cat([both[0][:, :1], both[1][:, 1:]], dim=1), labels)
    assert torch.equal(done.images, expected)
    assert Path(done.grid).is_file()


def latents_of(seed):
    from cgan.sampling.noise import latents

    return latents(torch.tensor([2, 2]), 6, seed)


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        (["mix=[1]"], r"mix=\[1\]: expected two seeds"),
        (["mix=[1,-2]"], "expected two seeds"),
        (["mix=[1,2]", "style=x.png"], "exclude each other"),
        (["mix=[1,2]", "ckpt=pretrained"], "MLPGenerator|LightGenerator has no styles"),
        (["mix=[1,2]", "crossover=5"], "crossover=5: expected the first fine layer, from 1 to 4"),
        (["mix=[1,2]", "crossover=x"], "crossover=x"),
    ],
)
def test_mixes_that_cannot_be_drawn_are_refused(exported, composed, requests, words):
    ckpt = [] if "ckpt=pretrained" in requests else [f"ckpt={exported}"]
    with pytest.raises(CganError, match=words):
        sample.run(composed("sample", *requests, *ckpt))


def test_the_service_truncates_mixes_and_morphs_styles(exported, generator):
    service = Service(exported.parents[1])
    name = "exports/small"
    assert {model.name: model.style_layers for model in service.models()}.items() >= {
        (name, 5),
        ("pretrained/light", 0),
    }
    z, labels = service.style(name, 3), torch.tensor([0, 2])
    rendered = service.render(name, z, [0, 2], 0.5)
    assert torch.equal(rendered, render(generator, truncate(generator, z.expand(2, -1), labels, 0.5), labels))
    mixed = service.mix(name, (z, service.style(name, 4)), [0, 2], 3, 0.5)
    assert not torch.equal(mixed, rendered)
    film = service.morph(name, (0, 2), (1, 2), 3, 0.5)
    assert torch.equal(film[[0, 2]], service.draw(name, [0, 2], [1, 2], 0.5))
    with pytest.raises(CganError, match="no styles"):
        service.mix("pretrained/light", (torch.zeros(64), torch.zeros(64)), [1])


def test_the_api_mixes_two_styles(exported):
    service, name = Service(exported.parents[1]), "exports/small"
    with TestClient(create_app(service)) as client:
        query = {"coarse": 3, "fine": 4, "classes": ["star", "0"], "crossover": 1, "model": name, "format": "npz"}
        arrays = np.load(io.BytesIO(client.get("/v1/mixes", params=query).content))
        assert arrays["labels"].tolist() == [2, 0]
        expected = service.mix(name, (service.style(name, 3), service.style(name, 4)), [2, 0], 1)
        assert np.array_equal(arrays["images"], expected[:, 0].numpy())
        for wrong in ({"crossover": 5}, {"crossover": 0}, {"model": "pretrained/light"}, {"fine": -1}):
            assert client.get("/v1/mixes", params=query | wrong).status_code == 422
        assert "1 to 4" in client.get("/v1/mixes", params=query | {"crossover": 5}).json()["error"]


def test_the_page_mixes_two_styles(exported, monkeypatch):
    monkeypatch.chdir(exported.parents[2])
    st.cache_resource.clear()
    page = AppTest.from_file(str(PAGE), default_timeout=120)
    page.session_state["model.name"], page.session_state["tab"] = "exports/small", "Style"
    page.run()
    assert not page.exception
    assert [field.label for field in page.number_input] == ["Style seed", "Fine style seed"]
    (coarse,) = [slider for slider in page.slider if slider.label == "Coarse layers"]
    assert (coarse.min, coarse.max, coarse.value) == (1, 5, 5)
    coarse.set_value(2)
    page.run()
    assert not page.exception
    assert not page.error


def test_a_run_trains_resumes_and_keeps_the_means(composed, tmp_path):
    """Two epochs at once, and one after the other, end in the same bits."""
    tiny = [
        *BARE,
        "experiment=quickstart",
        "model=style",
        *(f"model.generator.{k}={v}" for k, v in SMALL.items()),
    ]
    states = []
    for folder, parts in (("once", (2,)), ("twice", (1, 2))):
        for epochs in parts:
            ckpt = [f"ckpt={tmp_path / folder / 'checkpoints' / 'last.ckpt'}"] if epochs != parts[0] else []
            cfg = composed(
                "train", *tiny, *ckpt, f"trainer.max_epochs={epochs}", "schedule=constant", folder=tmp_path / folder
            )
            train.run(cfg)
        states.append(torch.load(tmp_path / folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    for name, tensor in states[0].items():
        assert torch.equal(states[1][name], tensor), name
    assert states[0]["generator.w_counts"].min() > 10
    assert states[0]["ema.generator.mean_w"].abs().min() > 0
    noise = "generator.styled.2.noise"
    assert torch.equal(states[0][noise], states[0][f"ema.{noise}"])
    loaded = load_generator(tmp_path / "once" / "checkpoints" / "last.ckpt")
    assert torch.equal(loaded.mean_w, states[0]["ema.generator.mean_w"])


@pytest.mark.parametrize(
    ("size", "expected"),
    [((28, 28), 24), ((32, 32), 24), ((48, 40), 16), ((48, 64), 12), ((128, 128), 8), ((256, 64), 8)],
)
def test_without_a_width_larger_images_have_fewer_channels_at_full_resolution(size, expected):
    generator = StyleGenerator(num_classes=2, img_shape=(3, *size), width=None)
    assert generator.to_image[-1].weight.shape[1] == expected


def test_a_class_that_training_never_saw_is_moved_towards_the_mean_of_the_others():
    generator = small().eval()
    generator.mean_w[:] = torch.tensor([1.0, 0, 4])[:, None]
    z, labels = torch.randn(3, generator.z_dim), torch.tensor([0, 1, 2])
    styles = truncate(generator, z, labels, 0.0)
    assert styles[:, 0, 0].tolist() == [1, 2.5, 4]
    page = web.Blending(generator)(z, torch.eye(3), torch.zeros(3, 1))
    torch.testing.assert_close(page, generator.paint(styles), msg="the exported page draws the same")
