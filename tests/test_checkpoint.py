import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cgan import CganError, draw, load_generator, save_generator
from cgan.checkpoint import PRETRAINED
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.own import Cifar10Extractor
from cgan.networks.mlp import MLPGenerator
from cgan.spec import DataSpec


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    generator = MLPGenerator(num_classes=3, img_shape=(1, 4, 6), z_dim=5, embed_dim=2, hidden=(6,)).eval()
    generator.spec = DataSpec("toys", (1, 4, 6), ("car", "doll", "ball"))
    save_generator(generator, tmp_path / "toys", {"made_by": "a test"})
    return generator, tmp_path / "toys"


def test_a_saved_generator_draws_the_same_pictures(exported):
    generator, folder = exported
    for name in (folder, folder / "model.safetensors", folder / "config.json"):
        again = load_generator(name)
        assert torch.equal(draw(again, [2, 0, 2], seed=1), draw(generator, [2, 0, 2], seed=1))
        assert again.spec == generator.spec
        assert not again.training


def rewritten(folder, **changes):
    described = json.loads((folder / "config.json").read_text())
    described |= changes
    (folder / "config.json").write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "os.system"},
        {"network": ["MLPGenerator"]},
        {"config": {"_target_": "os.system"}},
        {"config": {"num_classes": 3, "img_shape": [1, 4, 6], "z_dim": 5, "embed_dim": 2, "hidden": [10**12]}},
        {"config": {"num_classes": 3, "img_shape": [1, 4, 6], "z_dim": 5, "embed_dim": 2, "hidden": [7]}},
        {"config": {"num_classes": 3, "img_shape": [1, 6, 4], "z_dim": 5, "embed_dim": 2, "hidden": [6]}},
        {"network": "R3Generator", "config": {"num_classes": 3, "img_shape": [1, 4, 6], "blocks": 2**31 - 1}},
        {"network": "LightGenerator", "config": {"num_classes": 3, "img_shape": [1, 4, 6], "width": 2**31 - 1}},
        {"network": "LightGenerator", "config": {"num_classes": 3, "img_shape": [2**30, 4, 6]}},
        {"spec": {"name": "x", "img_shape": [1, 4, 6], "class_names": []}},
        {"spec": None},
    ],
    ids=str,
)
def test_a_description_that_does_not_fit_is_one_clear_line(exported, changes):
    with pytest.raises(CganError) as caught:
        load_generator(rewritten(exported[1], **changes))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_one_clear_line(exported):
    weights = exported[1] / "model.safetensors"
    for content in (weights.read_bytes()[:-7], b"", b"\xff" * 100):
        weights.write_bytes(content)
        with pytest.raises(CganError, match="cut off, damaged"):
            load_generator(exported[1])
    weights.unlink()
    with pytest.raises(CganError, match=r"model\.safetensors|no such file|No such file"):
        load_generator(exported[1])


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("content", [Bomb(), {"cgan": Bomb()}, {"state_dict": {"x": Bomb()}, "cgan": {}}])
def test_a_hostile_checkpoint_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "zip.ckpt")
    with open("plain.ckpt", "wb") as file:
        pickle.dump(content, file)
    for name in ("zip.ckpt", "plain.ckpt"):
        with pytest.raises(CganError, match="not a readable checkpoint"):
            load_generator(name)
    assert not (tmp_path / "exploded").exists()


def test_tensors_that_claim_more_than_the_file_holds_are_refused(exported, tmp_path):
    generator = exported[0]
    state = {f"ema.generator.{name}": tensor for name, tensor in generator.state_dict().items()}
    state["ema.generator.layers.0.weight"] = torch.zeros(1).expand(10**6, 10**6)
    described = {"network": "MLPGenerator", "config": generator.config, "spec": generator.spec.to_dict()}
    torch.save({"cgan": described, "state_dict": state}, tmp_path / "huge.ckpt")
    with pytest.raises(CganError, match="more than the file holds"):
        load_generator(tmp_path / "huge.ckpt")


def test_other_files_are_named(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(CganError, match=r"expected a checkpoint written by cgan"):
        load_generator(tmp_path / "other.ckpt")
    (tmp_path / "digits.onnx").touch()
    with pytest.raises(CganError, match="an ONNX file is for other programs; name what it was exported from"):
        load_generator(tmp_path / "digits.onnx")
    with pytest.raises(CganError, match="no such file or folder"):
        load_generator(tmp_path / "none.ckpt")
    with pytest.raises(CganError, match=r"expected checkpoints/best\.ckpt"):
        load_generator(tmp_path)
    with pytest.raises(CganError, match="no such pretrained generator"):
        load_generator("pretrained/nobody")


@pytest.mark.parametrize(("row", "name"), [(0, "light"), (1, "mlp"), (2, "signs"), (3, "cifar10")])
def test_the_bundled_generators_draw_what_they_always_drew(row, name):
    """The stored pictures, a row for each generator, may differ by rounding: other processors sum in other orders."""
    drawn = draw(load_generator(f"pretrained/{name}"), [3, 1, 4, 1, 5], seed=2).int()
    channels, height, width = drawn.shape[1:]
    with Image.open(Path(__file__).parent / "data" / "bundled_31415.png") as picture:
        stored = torch.from_numpy(np.array(picture)).int().permute(2, 0, 1)[:channels]
    for column, image in enumerate(drawn):
        expected = stored[:, 64 * row : 64 * row + height, 64 * column : 64 * column + width]
        assert (image - expected).abs().max() <= 2, column


def test_the_bundled_generators_fit_into_eight_megabytes():
    bundled = sorted(PRETRAINED.iterdir())
    shapes = {"cifar10": (3, 32, 32), "signs": (3, 64, 64)}
    assert [folder.name for folder in bundled] == ["cifar10", "light", "mlp", "signs"]
    assert sum((folder / "model.safetensors").stat().st_size for folder in bundled) < 8e6
    for folder in bundled:
        generator = load_generator(f"pretrained/{folder.name}")
        assert {weight.dtype for weight in generator.parameters()} == {torch.float32}
        assert generator.img_shape == shapes.get(folder.name, (1, 28, 28))
        if folder.name in shapes:
            continue
        _, logits = DigitExtractor()(draw(generator, [0, 1, 7, 7, 3] * 20, seed=2))
        assert (logits.argmax(1) == torch.tensor([0, 1, 7, 7, 3] * 20)).double().mean() > 0.9


def test_the_bundled_photographs_show_what_was_asked_for():
    asked = [*range(10)] * 20
    _, logits = Cifar10Extractor()(draw(load_generator("pretrained/cifar10"), asked, seed=2))
    assert (logits.argmax(1) == torch.tensor(asked)).double().mean() > 0.75
