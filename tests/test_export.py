"""An exported generator draws what the original draws, and strangers' programs can load it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from cgan import CganError, draw, load_generator, save_generator
from cgan.measured import measured
from cgan.metrics.digits import DigitFeatures
from cgan.networks import GENERATORS
from cgan.spec import DataSpec
from cgan.tasks import export

EXAMPLE = Path(__file__).parents[1] / "examples" / "draw_with_onnxruntime.py"


@pytest.mark.parametrize("network", sorted(GENERATORS))
def test_a_folder_is_read_back_to_equal_pictures(composed, tmp_path, network):
    torch.manual_seed(1)
    original = GENERATORS[network](num_classes=3, img_shape=(1, 28, 28)).eval().requires_grad_(False)
    original.spec = DataSpec("shapes", (1, 28, 28), ("circle", "square", "star"))
    save_generator(original, tmp_path / "first")
    out = export.run(composed("export", f"ckpt={tmp_path / 'first'}", f"out={tmp_path / 'out'}", "license=cc0-1.0"))
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = load_generator(out)
    assert again.spec == original.spec
    assert torch.equal(draw(again, [2, 0, 1, 2], seed=5), draw(original, [2, 0, 1, 2], seed=5))
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: cc0-1.0\n")
    assert "circle, square, star" in card
    assert "Nothing was measured" in card


def test_half_is_half_the_size_and_nearly_the_same_pictures(composed, tmp_path):
    original = load_generator("pretrained")
    wishes = ["half=true", "data_license=CC BY-SA 3.0"]
    out = export.run(composed("export", "ckpt=pretrained", f"out={tmp_path / 'half'}", *wishes))
    weights = sum(weight.numel() for weight in original.parameters())
    assert (out / "model.safetensors").stat().st_size < 2.01 * weights
    rounded = load_generator(out)
    assert {weight.dtype for weight in rounded.parameters()} == {torch.float32}
    difference = (draw(rounded, [3, 8, 1]).int() - draw(original, [3, 8, 1]).int()).abs()
    assert difference.max() > 0, "rounding shows"
    assert difference.float().mean() < 0.5, "grey levels"
    assert "| Licence of the training data | CC BY-SA 3.0 |" in (out / "README.md").read_text()
    assert not measured(out, tmp_path).values, "the numbers are those of other weights"


def test_half_is_true_or_false(composed, tmp_path):
    with pytest.raises(CganError, match="half=maybe: expected true or false"):
        export.run(composed("export", "half=maybe", f"out={tmp_path / 'out'}"))
    assert not (tmp_path / "out").exists()


def test_half_of_raw_weights_is_rounded_too_and_replaces_an_export_without_a_gap(composed, tmp_path):
    ckpt, generator = stored_run(tmp_path / "run", "best.ckpt", images_seen=3), load_generator("pretrained")
    save_generator(generator, tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    out = export.run(composed("export", f"ckpt={ckpt}", "weights=raw", "half=true", f"out={tmp_path / 'out'}"))
    assert (out / "notes.txt").read_text() == "mine"
    weights = sum(weight.numel() for weight in generator.parameters())
    assert (out / "model.safetensors").stat().st_size < 2.01 * weights


def test_a_second_half_loses_nothing(composed, tmp_path):
    known = {"measured": {"values": {"fid": 3.0}, "floor": {}, "source": "evaluate.py"}}
    save_generator(load_generator("pretrained"), tmp_path / "half", known, half=True)
    out = export.run(composed("export", f"ckpt={tmp_path / 'half'}", f"out={tmp_path / 'again'}", "half=true"))
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "half" / "model.safetensors").read_bytes()
    assert measured(out, tmp_path).values == {"fid": 3.0}


def stored_run(run, name, images_seen):
    """A run folder with one checkpoint of the carried generator, and a log of four lines and a torn one."""
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    generator = load_generator("pretrained")
    described = {
        "network": type(generator).__name__,
        "config": generator.config,
        "spec": generator.spec.to_dict(),
        "steps": 5,
        "images_seen": images_seen,
    }
    prefixes = ("ema.generator.", "generator.")
    state = {prefix + name: value for prefix in prefixes for name, value in generator.state_dict().items()}
    torch.save({"cgan": described, "state_dict": state}, run / "checkpoints" / name)
    rows = [
        {"images_seen": 1, "quality/fid_digits_1k": 9.0, "floor/fid_digits_1k": 0.5},
        {"images_seen": 2, "loss/d": 1.0},
        {"images_seen": 3, "quality/fid_digits_1k": 2.25, "floor/fid_digits_1k": 0.5},
        {"images_seen": 1234567, "quality/fid_digits_1k": 3.0, "floor/fid_digits_1k": 0.5},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"images_se')
    return run / "checkpoints" / name


def test_a_checkpoint_is_described_by_its_own_epoch(tmp_path):
    found = [
        measured(stored_run(tmp_path, name, images_seen), tmp_path / "logs").values
        for name, images_seen in (("best.ckpt", 3), ("last.ckpt", 1234567), ("previous.ckpt", 2))
    ]
    assert found == [{"fid_digits_1k": 2.25}, {"fid_digits_1k": 3.0}, {}]


def test_what_was_measured_of_raw_weights_is_not_said_of_the_average(tmp_path):
    ckpt = stored_run(tmp_path / "run", "best.ckpt", images_seen=3)
    for day, weights, value in (("1", "ema", 2.5), ("2", "raw", 8.0)):
        evaluation = tmp_path / "logs" / "evaluate" / "runs" / day / "evaluation.json"
        evaluation.parent.mkdir(parents=True)
        protocol = {"n": 1000, "seed": 0, "reference": "train", "weights": weights}
        judged = [{"source": str(ckpt), "values": {"fid_digits_1k": value}}]
        evaluation.write_text(json.dumps({"protocol": protocol, "floor": {}, "judged": judged}))
    assert measured(ckpt, tmp_path / "logs").values == {"fid_digits_1k": 2.5}


def test_the_card_of_a_run_says_what_the_run_measured(composed, tmp_path):
    run, generator = tmp_path / "run", load_generator("pretrained")
    stored_run(run, "best.ckpt", images_seen=1234567)
    out = export.run(composed("export", f"ckpt={run}", f"out={tmp_path / 'out'}"))
    card = (out / "README.md").read_text()
    assert "| `fid_digits_1k` | 2.25 | 0.5 |" in card
    assert "1,234,567" in card
    assert measured(out).values == {"fid_digits_1k": 2.25}  # a second export keeps the numbers
    assert torch.equal(draw(load_generator(out), [4, 4]), draw(generator, [4, 4]))


def test_an_evaluation_outranks_the_runs_own_log(tmp_path):
    folder = tmp_path / "gen"
    generator = load_generator("pretrained")
    save_generator(generator, folder, {"measured": {"values": {"fid": 3}, "floor": {}, "source": "before"}})
    assert measured(folder, tmp_path).values == {"fid": 3.0}
    protocol = {"n": 1000, "seed": 0, "reference": "train"}
    now = time.time()
    for name, value, later in (("2026-01-02", 1.5, 60), ("mine", 9.0, 30)):  # the newest by its time, not by its name
        evaluation = tmp_path / "evaluate" / "runs" / name / "evaluation.json"
        evaluation.parent.mkdir(parents=True)
        judged = [{"source": str(folder), "values": {"fid_digits_1k": value, "class_fid_digits_1k/3": 7.0}}]
        evaluation.write_text(json.dumps({"protocol": protocol, "floor": {"fid_digits_1k": 0.1}, "judged": judged}))
        os.utime(evaluation, (now + later, now + later))
    found = measured(folder, tmp_path)
    assert (found.values, found.floor) == ({"fid_digits_1k": 1.5}, {"fid_digits_1k": 0.1})
    (tmp_path / "evaluate" / "runs" / "2026-01-02" / "evaluation.json").write_text('{"judged": 3}')
    assert measured(folder, tmp_path).values == {"fid_digits_1k": 9.0}


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    export.export_onnx(load_generator("pretrained"), out)
    return out


@pytest.mark.parametrize("count", [1, 2, 33])
def test_onnxruntime_draws_the_same_for_any_batch(onnx_file, count):
    generator = load_generator("pretrained")
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    z = torch.randn(count, generator.z_dim, generator=torch.Generator().manual_seed(count))
    labels = torch.arange(count) % 10
    (images,) = session.run(None, {"z": z.numpy(), "labels": labels.numpy()})
    assert images.shape == (count, 1, 28, 28)
    assert np.abs(images - generator(z, labels).numpy()).max() < 1e-4


def test_the_example_draws_without_torch(onnx_file, tmp_path):
    """`-X importtime` would be slow; a poisoned torch proves that neither torch nor cgan is imported."""
    for name in ("torch", "cgan"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not wanted here')")
    read = DigitFeatures()
    pictures = []
    for seed in range(4):
        out = tmp_path / f"{seed}.pgm"
        command = [sys.executable, EXAMPLE, onnx_file, "7", str(seed), out]
        subprocess.run(command, check=True, env={"PYTHONPATH": str(tmp_path)}, capture_output=True)
        pictures.append(torch.from_numpy(np.array(Image.open(out))))
    assert (read(torch.stack(pictures).unsqueeze(1))[1].argmax(1) == 7).sum() >= 3


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (["format=pickle"], "format=pickle: expected one of safetensors, onnx"),
        (["format=onnx", "out=here"], "ends in .onnx"),
        (["format=onnx", "half=true"], "goes with format=safetensors only"),
        (["out=full"], "expected a new folder"),
        (["weights=best"], "expected ema or raw"),
        (["ckpt=nowhere"], "ckpt=nowhere"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused_before_anything_is_written(
    composed, tmp_path, monkeypatch, wishes, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    with pytest.raises(CganError, match=words):
        export.run(composed("export", *wishes))
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.txt"]
