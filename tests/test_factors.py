"""Classes that are combinations of factors: one integer label everywhere, one vector per factor in the networks."""

import json

import pytest
import torch
from fastapi.testclient import TestClient
from torch import nn

from cgan import CganError, draw, load_generator, save_generator
from cgan.networks import GENERATORS
from cgan.networks.conditioning import LabelPlane, ProjectionHead
from cgan.networks.embedding import ClassEmbedding
from cgan.records.evaluation import Entry
from cgan.serving.api import create_app
from cgan.serving.service import Service
from cgan.serving.ui.parts import typed_classes
from cgan.spec import DataSpec, combine_names
from cgan.tasks import export, sample
from cgan.tasks.build import build_module
from cgan.tasks.model_card import Licences, model_card

NAMES = combine_names(("small", "large"), ("red", "green", "blue"))
SPEC = DataSpec("shapes", (1, 8, 8), NAMES, factors=(2, 3))


def test_names_count_the_last_factor_fastest():
    assert NAMES == ("small+red", "small+green", "small+blue", "large+red", "large+green", "large+blue")


def test_a_combination_is_embedded_as_the_sum_of_its_factors():
    embedding = ClassEmbedding((2, 3, 2), 1)
    with torch.no_grad():
        embedding.weight.copy_(torch.tensor([[100.0], [200.0], [10.0], [20.0], [30.0], [1.0], [2.0]]))
    assert embedding(torch.tensor([0, 1, 2, 5, 6, 11])).squeeze(1).tolist() == [111, 112, 121, 132, 211, 232]


def test_one_factor_is_a_plain_embedding():
    torch.manual_seed(1)
    plain = nn.Embedding(7, 5)
    torch.manual_seed(1)
    embedding = ClassEmbedding(7, 5)
    assert embedding.state_dict().keys() == plain.state_dict().keys() == {"weight"}
    labels = torch.tensor([6, 0, 6])
    assert torch.equal(embedding(labels), plain(labels))
    with pytest.raises(IndexError):
        embedding(torch.tensor([7]))


def test_class_vectors_start_with_unit_variance_whatever_the_factors():
    torch.manual_seed(0)
    vectors = ClassEmbedding((10, 10, 10), 64)(torch.arange(1000))
    assert vectors.var().item() == pytest.approx(1, abs=0.1)


def test_discriminators_share_factors_too():
    plane, head = LabelPlane((2, 3), 4, 4), ProjectionHead(8, (2, 3))
    assert (plane.plane.weight.shape, head.projection.weight.shape) == ((5, 16), (5, 8))


@pytest.mark.parametrize("network", sorted(GENERATORS))
def test_a_generator_of_factors_is_exported_and_read_back(composed, tmp_path, network):
    torch.manual_seed(1)
    original = GENERATORS[network](num_classes=[2, 3], img_shape=(1, 8, 8)).eval().requires_grad_(False)
    original.spec = SPEC
    assert (original.num_classes, original.factors, len(original.embedding.weight)) == (6, (2, 3), 5)
    save_generator(original, tmp_path / "first")
    again = load_generator(export.run(composed("export", f"ckpt={tmp_path / 'first'}", f"out={tmp_path / 'out'}")))
    assert (again.spec, again.factors) == (SPEC, (2, 3))
    assert torch.equal(draw(again, ["large+red", 1], seed=5), draw(original, [3, 1], seed=5))


@pytest.mark.parametrize("network", ["LightGenerator", "StyleGenerator"])
def test_onnx_draws_combinations(tmp_path, network):
    generator = GENERATORS[network](num_classes=[2, 3], img_shape=(1, 8, 8)).eval().requires_grad_(False)
    generator.spec = SPEC
    export.export_onnx(generator, tmp_path / "generator.onnx")  # compares random classes with torch before it writes


def test_training_builds_networks_of_the_factors(composed):
    module = build_module(composed("train", "model=mlp", "model.discriminator.conditioning=projection"), SPEC)
    sizes = {len(part.weight) for part in module.modules() if isinstance(part, ClassEmbedding)}
    assert sizes == {5}
    assert module.ema.generator.factors == module.discriminator.factors == (2, 3)


def test_a_file_without_factors_has_one():
    stored = {"name": "x", "img_shape": [1, 2, 3], "class_names": ["a", "b"]}
    assert DataSpec.from_dict(stored).factors == (2,)
    assert DataSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize("factors", [[2, 2], [6.0], [-2, -3], [True, 6], "ab", None, 6, [1] * 20 + [6], [[2, 3]]])
def test_factors_from_a_file_are_checked(factors):
    with pytest.raises(CganError, match="data spec: expected"):
        DataSpec.from_dict(SPEC.to_dict() | {"factors": factors})


def test_combinations_are_named_in_several_ways():
    assert [SPEC.label_of(word) for word in ("large+green", "green+large", "large green", 4, "4")] == [4] * 5
    stacks = DataSpec("stacks", (3, 28, 28), combine_names(*["0123456789"] * 3), (10, 10, 10))
    assert [stacks.label_of(word) for word in ("3+1+4", "4+1+3", "3 1 4", 314)] == [314, 413, 314, 314]
    with pytest.raises(CganError, match=r"0\+0\+0, 0\+0\+1, 0\+0\+2, \.\.\. \(1,000 in all\) \.\.\., 9\+9\+9; choose"):
        stacks.label_of("3+1")
    with pytest.raises(CganError, match="choose among"):
        DataSpec("plain", (1, 2, 2), ("a+b", "c")).label_of("b+a")


def test_the_command_line_draws_a_combination(composed, tmp_path):
    generator = GENERATORS["LightGenerator"](num_classes=[2, 3], img_shape=(1, 8, 8)).eval().requires_grad_(False)
    generator.spec = SPEC
    save_generator(generator, tmp_path / "shapes")
    drawn = sample.run(composed("sample", f"ckpt={tmp_path / 'shapes'}", "classes=[large+blue,small+red]", "n=2"))
    assert drawn.labels.tolist() == [5, 5, 0, 0]


def test_the_page_reads_combinations_and_digits_in_a_row():
    assert typed_classes(" small+blue, large red ,", SPEC) == [2, 3]
    assert typed_classes("20 26", DataSpec("digits", (1, 8, 8), tuple("0123456789"))) == [2, 0, 2, 6]
    with pytest.raises(CganError, match="class 'tiny': shapes has the classes small"):
        typed_classes("tiny", SPEC)


def test_the_api_draws_a_combination_by_path_and_by_query(tmp_path):
    generator = GENERATORS["LightGenerator"](num_classes=[2, 3], img_shape=(1, 8, 8)).eval().requires_grad_(False)
    generator.spec = SPEC
    save_generator(generator, tmp_path / "shapes")
    with TestClient(create_app(Service(tmp_path, "cpu"))) as client:
        drawn = client.get("/v1/classes/large+blue", params={"model": "shapes", "format": "json"}).json()["images"]
        assert [(image["label"], image["class_name"]) for image in drawn] == [(5, "large+blue")]
        several = client.get("/v1/styles/3?model=shapes&format=json&classes=large+blue&classes=small%2Bred").json()
        assert [image["label"] for image in several["images"]] == [5, 0], "a + in a query is a space"
        assert client.get("/v1/classes/large+tiny?model=shapes").status_code == 404


def test_the_card_of_one_class_says_so():
    generator = GENERATORS["LightGenerator"](num_classes=1, img_shape=(1, 8, 8))
    generator.spec = DataSpec("faces", (1, 8, 8), ("faces",))
    card = model_card(generator, Entry("mine", parameters=7), None, Licences("mit", "unknown"))
    assert "An unconditional generator: a latent of 64 numbers from N(0, 1) goes in, an image" in card
    assert "one class (unconditional)" in card
    generator.spec = SPEC
    assert "A class-conditional generator: a latent of 64 numbers from N(0, 1) and a class go in" in model_card(
        generator, Entry("mine", parameters=7), None, Licences("mit", "unknown")
    )


def test_the_card_of_groups_says_that_nobody_named_them():
    generator = GENERATORS["LightGenerator"](num_classes=2, img_shape=(1, 8, 8))
    generator.spec = DataSpec("faces", (1, 8, 8), ("g0", "g1"), grouped=True)
    card = " ".join(model_card(generator, Entry("mine", parameters=7), None, Licences("mit", "unknown")).split())
    assert "and a class, here a group of alike images found without labels, go in, an image" in card
    assert "2 groups of alike images, g0 to g1" in card
