"""An exported generator draws what the original draws, and other programs can load it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open
from test_evaluation_record import record, stored_run

from cgan import CganError, draw, load_generator, save_generator
from cgan.checkpoint import find_generator
from cgan.networks import GENERATORS
from cgan.records.evaluation import Entry, find_evaluation, to_json
from cgan.spec import DataSpec
from cgan.tasks import export

EXAMPLE = Path(__file__).parents[1] / "examples" / "draw_with_onnxruntime.py"


@pytest.mark.parametrize("network", sorted(GENERATORS))
def test_a_folder_is_read_back_to_equal_pictures(composed, tmp_path, network):
    torch.manual_seed(1)
    original = GENERATORS[network](num_classes=3, img_shape=(1, 28, 28)).eval().requires_grad_(False)
    original.to(memory_format=torch.channels_last)  # as in a checkpoint
    original.spec = DataSpec("shapes", (1, 28, 28), ("circle", "square", "star"))
    save_generator(original, tmp_path / "first")
    out = export.run(composed("export", f"ckpt={tmp_path / 'first'}", f"out={tmp_path / 'out'}", "license=cc0-1.0"))
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = load_generator(out)
    assert again.spec == original.spec
    strides = [[weight.stride() for weight in generator.parameters()] for generator in (again, original)]
    assert strides[0] == strides[1], "in another order of memory sums are rounded otherwise"
    assert torch.equal(draw(again, [2, 0, 1, 2], seed=5), draw(original, [2, 0, 1, 2], seed=5))
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: cc0-1.0\n")
    assert "circle, square, star" in card
    assert "Not evaluated before the export" in card


def test_half_is_half_the_size_and_nearly_the_same_pictures(composed, tmp_path):
    original = load_generator("pretrained")
    requests = ["half=true", "data_license=CC BY-SA 3.0"]
    out = export.run(composed("export", "ckpt=pretrained", f"out={tmp_path / 'half'}", *requests))
    weights = sum(weight.numel() for weight in original.parameters())
    assert (out / "model.safetensors").stat().st_size < 2.01 * weights
    rounded = load_generator(out)
    assert {weight.dtype for weight in rounded.parameters()} == {torch.float32}
    difference = (draw(rounded, [3, 8, 1]).int() - draw(original, [3, 8, 1]).int()).abs()
    assert difference.max() > 0, "rounding shows"
    assert difference.float().mean() < 0.5, "grey levels"
    assert "| Licence of the training data | CC BY-SA 3.0" in (out / "README.md").read_text()
    assert find_evaluation(out, tmp_path) is None, "the numbers are those of other weights"


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
    known = {"evaluation": to_json(record(Entry("half", {"fid": 3.0})))}
    save_generator(load_generator("pretrained"), tmp_path / "half", known, half=True)
    out = export.run(composed("export", f"ckpt={tmp_path / 'half'}", f"out={tmp_path / 'again'}", "half=true"))
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "half" / "model.safetensors").read_bytes()
    assert find_evaluation(out, tmp_path).entry.values == {"fid": 3.0}


def test_the_card_of_a_run_says_what_the_run_measured(composed, tmp_path):
    run, generator = tmp_path / "run", load_generator("pretrained")
    stored_run(run, "best.ckpt", images_seen=3)
    out = export.run(composed("export", f"ckpt={run}", f"out={tmp_path / 'out'}", "license=other: ask me"))
    card = (out / "README.md").read_text()
    (row,) = [line for line in card.splitlines() if line.startswith("| Fréchet distance")]
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["2.25", "0.5", "lower is better", "How far."]
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["license"] == "other: ask me"
    found = find_evaluation(out, tmp_path)  # a second export keeps the numbers
    assert (found.entry.values, found.record.real.values) == ({"fid": 2.25}, {"fid": 0.5})
    assert found.record.describe("fid").title == "Fréchet distance"
    assert not found.entry.curve
    assert torch.equal(draw(load_generator(out), [4, 4]), draw(generator, [4, 4]))


def test_the_weights_say_which_library_wrote_them(composed, tmp_path):
    out = export.run(composed("export", "ckpt=pretrained", f"out={tmp_path / 'out'}"))
    with safe_open(out / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_an_export_killed_between_its_files_is_none_and_is_made_by_the_next(composed, tmp_path, renamed):
    """Else the description and the numbers of one generator would stand beside the weights of another."""
    out = tmp_path / "out"
    first, second = load_generator("pretrained"), load_generator("pretrained")
    for weight in second.parameters():
        weight.mul_(0.5)
    save_generator(first, out)
    origin = export.origin_of(find_generator("pretrained"), second)
    if (child := os.fork()) == 0:
        rename, left = os.replace, iter(range(3 + renamed, -1, -1))  # three of the trial
        os.replace = lambda *paths: rename(*paths) if next(left) else os.kill(os.getpid(), signal.SIGKILL)
        with contextlib.suppress(BaseException):
            export.export_folder(second, out, origin, None, export.Licences("MIT", "MIT"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with pytest.raises(CganError, match=r"config\.json in it"):
        load_generator(out)
    export.run(composed("export", "ckpt=pretrained/mlp", f"out={out}"))
    assert type(load_generator(out)).__name__ == "MLPGenerator"
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["light", "mlp"])
def test_bundled_generators_carry_their_evaluation(name):
    found = find_evaluation(find_generator(f"pretrained/{name}").path, Path("nowhere"))
    assert found.record.protocol.n == 10_000
    assert found.record.real.values["fid"] == 0.05027337698334122
    assert found.entry.values["fid"] == {"light": 0.07207321721392645, "mlp": 0.8651127473315512}[name]
    assert found.record.describe("cas").title == ("Classification accuracy score" if name == "light" else "cas")


def test_the_bundled_hands_carry_their_evaluation():
    found = find_evaluation(find_generator("pretrained/signs").path, Path("nowhere"))
    assert (found.record.protocol.n, found.entry.images_seen) == (208, 87_808)
    assert found.entry.values["label_agreement"] == pytest.approx(204 / 208)
    assert found.entry.values["memorised"] <= found.record.real.values["memorised"]


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    out = tmp_path_factory.mktemp("onnx") / "generator.onnx"
    out.with_suffix(".w.onnx").write_bytes(b"of another generator, with styles")
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


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("LightGenerator", {}),
        pytest.param("R3Generator", {}, marks=pytest.mark.slow),
        pytest.param("StyleGenerator", {"dense": True}, marks=pytest.mark.slow),
    ],
)
def test_a_grown_and_cropped_network_is_exported(tmp_path, network, options):
    torch.manual_seed(2)
    sizes = {"num_classes": 3, "img_shape": (3, 50, 40), "width": 8}
    generator = GENERATORS[network](**sizes, **options).eval().requires_grad_(False)
    generator.spec = DataSpec("shapes", (3, 50, 40), ("circle", "square", "star"))
    export.export_onnx(generator, tmp_path / "grown.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "grown.onnx", providers=["CPUExecutionProvider"])
    z, labels = torch.randn(5, generator.z_dim), torch.tensor([2, 0, 1, 1, 0])
    (images,) = session.run(["images"], {"z": z.numpy(), "labels": labels.numpy()})
    assert images.shape == (5, 3, 50, 40)
    assert np.abs(images - generator(z, labels).numpy()).max() < 1e-4


def test_no_file_of_another_generator_stays_beside_an_onnx_file(onnx_file):
    assert [path.name for path in onnx_file.parent.iterdir()] == ["generator.onnx"]


def test_onnx_refuses_labels_out_of_range(onnx_file):
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    for wrong in (-1, 10, -(2**40)):
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="out of data bounds"):
            session.run(None, {"z": np.zeros((1, 64), np.float32), "labels": np.array([wrong])})


def test_the_example_draws_the_pictures_of_sample_without_torch(onnx_file, tmp_path):
    """`-X importtime` would be slow; a poisoned torch proves that neither torch nor cgan is imported."""
    for name in ("torch", "cgan"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not wanted here')")

    def example(*arguments):
        command = [sys.executable, EXAMPLE, *arguments]
        environment = {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)

    done = example(onnx_file, "3", "8", "-n", "4", "--seed", "9", "--truncation", "0.7", "--out", "digits.pgm")
    assert done.returncode == 0, done.stderr
    generator = load_generator("pretrained")
    ours = draw(generator, [3] * 4 + [8] * 4, seed=9, truncation=0.7).view(2, 4, 28, 28)
    theirs = np.array(Image.open(tmp_path / "digits.pgm")).astype(int)
    assert np.abs(theirs - ours.permute(0, 2, 1, 3).reshape(56, 112).numpy()).max() <= 1
    assert "--truncation" in example("--help").stdout
    assert "class x: expected one of 0, 1" in example(onnx_file, "x").stderr
    assert "expected n from 1 and a seed from 0" in example(onnx_file, "3", "--seed", "-1").stderr


def test_the_snippets_of_the_card_run_and_the_hub_reads_its_metrics(composed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = export.run(composed("export", "ckpt=pretrained", "out=mine", "license=other: ask me"))
    export.export_onnx(load_generator(out), tmp_path / "generator.onnx")
    card = (out / "README.md").read_text()
    torch_snippet, onnx_snippet = re.findall(r"```python\n(.*?)```", card.replace("THIS_FOLDER", "mine"), re.DOTALL)
    drawn = {}
    exec(torch_snippet, drawn)
    assert drawn["images"].shape == (3, 1, 28, 28)
    exec(onnx_snippet, drawn)
    ours = draw(load_generator("pretrained"), [0] * 5, seed=0).int().numpy()
    assert np.abs(drawn["images"].astype(int) - ours).max() <= 1
    results = ModelCard(card).data.eval_results
    assert {(result.metric_type, result.metric_value) for result in results} >= {("fid", 0.07207321721392645)}
    assert {result.dataset_name for result in results} == {"mnist"}
    assert "\n# light_wide on MNIST\n" in card
    assert "&id" not in card, "a reference that YAML alone understands"


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        (["format=pickle"], "format=pickle: expected one of safetensors, onnx"),
        (["format=onnx", "out=here"], "ends in .onnx"),
        (["format=onnx", "half=true"], "goes with format=safetensors only"),
        (["out=full"], "expected a new folder"),
        (["weights=best"], "expected one of ema, raw"),
        (["ckpt=nowhere"], "ckpt=nowhere"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_before_anything_is_written(
    composed, tmp_path, monkeypatch, requests, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    with pytest.raises(CganError, match=words):
        export.run(composed("export", *requests))
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.txt"]
