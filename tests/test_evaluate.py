"""The whole evaluation on real digits: generators and pictures beside the floor, and what it refuses."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cgan.checkpoint import save_generator
from cgan.config import CONF
from cgan.data.pictures import read_pictures
from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.files import read_lines, write_file
from cgan.metrics.cas import classification_accuracy
from cgan.metrics.looks import evenly
from cgan.networks.light import LightGenerator
from cgan.sampling.grids import to_pil
from cgan.tasks.baselines import run as write_baselines
from cgan.tasks.evaluate import run
from cgan.tasks.train import run as train

DATA = ["data=mnist5k", "data.source.test_per_class=460"]  # 400 images to train on, 4,600 apart
SOURCE = Mnist5k(460)
TEST = SOURCE.load("test")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def untrained(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    generator = LightGenerator(num_classes=10, img_shape=(1, 28, 28), width=4)
    generator.spec = SOURCE.spec
    save_generator(generator, folder, {"training": {"seconds": 90.0, "hardware": "a test"}})
    return folder


def npz(path: Path, n: int = 100, **changed: np.ndarray) -> Path:
    images, labels = TEST
    chosen = torch.arange(n) * len(labels) // n
    np.savez(path, **{"images": images[chosen].squeeze(1).numpy(), "labels": labels[chosen].numpy(), **changed})
    return path


def test_generators_and_real_pictures_side_by_side(composed, tmp_path, monkeypatch):
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 1)
    out = tmp_path / "out"
    first, second = untrained(tmp_path / "a", 0), untrained(tmp_path / "b", 1)
    real = npz(tmp_path / "real.npz", 150)
    cfg = composed(
        "evaluate",
        *DATA,
        f"ckpt=[{first},{second}]",
        f"images={real}",
        "n=150",
        "cas=true",
        "names=[a,b,real]",
        folder=out,
    )
    result = run(cfg)
    assert list(result.columns) == ["a", "b", "real", "floor"]
    cas = "cas_student_150_test", "cas_deviation_student_150_test"
    real_values, floor = (dict(result.columns[name]) for name in ("real", "floor"))
    assert all(0 <= real_values.pop(tag) <= 1 and 0 <= floor.pop(tag) <= 1 for tag in cas)
    assert real_values == floor  # all but the score of students, who learn from training images for the floor
    assert result.columns["a"]["fid_digits_150"] > 10 * result.columns["floor"]["fid_digits_150"]

    written = json.loads((out / "evaluation.json").read_text())
    assert {entry["name"]: entry["values"] for entry in written["judged"]} | {
        "floor": written["floor"]
    } == result.columns
    assert (written["protocol"]["data"], written["protocol"]["n"]) == ("mnist5k", 150)
    assert written["judged"][0]["network"] == "LightGenerator"
    assert np.array(written["judged"][0]["confusion"]).sum() == 150
    with (out / "evaluation.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["tag", "a", "b", "real", "floor"]
    assert float(rows[1][1]) == result.columns["a"]["fid_digits_150"]
    for name, sheets in {"a": 4, "real": 3, ".": 2}.items():
        pictures = sorted((out / name).glob("*.png"))
        assert len(pictures) == sheets
        assert all(len(np.unique(np.asarray(Image.open(path).convert("L")))) > 10 for path in pictures)
    board = EventAccumulator(str(out / "tensorboard" / "a")).Reload()
    assert board.Scalars("quality/fid_digits_150")[0].value == pytest.approx(result.columns["a"]["fid_digits_150"])
    assert board.Scalars("hp/fid_digits_150")[0].value == pytest.approx(result.columns["a"]["fid_digits_150"])
    assert {"overview", "samples", "interpolation"} <= set(board.Tags()["images"])

    # The leaderboard of this file and its copy under another name: best first, the floor last.
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / "x.json").write_bytes((out / "evaluation.json").read_bytes())
    text = write_baselines(tmp_path / "evaluations", tmp_path / "baselines.md")
    names = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][2:]
    ordered = sorted("ab", key=lambda name: result.columns[name]["fid_digits_150"])
    assert names == ["real", *ordered, "floor"]
    assert "1.5 min | a test" in text
    assert (tmp_path / "baselines.md").read_text() == text
    other = json.loads((out / "evaluation.json").read_text())
    other["floor"]["fid_digits_150"] += 1
    (tmp_path / "evaluations" / "y.json").write_text(json.dumps(other))
    with pytest.raises(CganError, match="floors of mnist5k differ"):
        write_baselines(tmp_path / "evaluations", tmp_path / "baselines.md")


def test_evaluating_the_best_checkpoint_repeats_the_logged_value(composed, tmp_path):
    metrics = "quality.metrics=[fid,precision_recall,class_fid]"
    tiny = [
        "model=light",
        "model.generator.width=8",
        "data.batch_size=32",
        "trainer.accelerator=cpu",
        "~callbacks.progress",
    ]
    trained = train(
        composed("train", *DATA, *tiny, metrics, "quality.n=200", "trainer.max_epochs=1", folder=tmp_path / "run")
    )
    assert "class_fid_digits_200/9" in trained.values
    cfg = composed("evaluate", *DATA, f"runs={tmp_path}", metrics, "n=200", folder=tmp_path / "out")
    values = run(cfg).columns["run"]
    assert values == trained.values
    cfg = composed(
        "evaluate", *DATA, f"ckpt={trained.best}", metrics, "n=200", "batch_size=33", folder=tmp_path / "odd"
    )
    assert run(cfg).columns["run"] == pytest.approx(values, rel=1e-3)
    entry = json.loads((tmp_path / "out" / "evaluation.json").read_text())["judged"][0]
    assert entry["images_seen"] == 384
    assert entry["seconds"] > 0
    (point,) = entry["curve"]
    assert point["fid"] == values["fid_digits_200"]
    assert point["seconds"] > entry["seconds"]  # measuring counts
    assert "CPU cores" in entry["hardware"]


def test_two_processes_measure_what_one_does(composed, tmp_path):
    """Each rank draws and looks at its share, here of 201 images; the averaged generator is the same on both."""
    metrics = "quality.metrics=[fid,precision_recall,near_duplicates,label_agreement]"
    choices = ["model=light", "model.generator.width=4", "data.batch_size=16", "trainer=cpu", "trainer.max_epochs=1"]
    ranks = ["trainer.devices=2", "++trainer.strategy=ddp_find_unused_parameters_true", "~callbacks.progress"]
    folder = tmp_path / "run"
    command = [sys.executable, CONF.parent / "train.py", *DATA, *choices, *ranks, metrics, "quality.n=201"]
    subprocess.run([*command, f"hydra.run.dir={folder}"], check=True, timeout=300, capture_output=True)
    (logged,) = [row for row in read_lines(folder / "metrics.jsonl") if "quality/fid_digits_201" in row]
    columns = run(composed("evaluate", *DATA, f"ckpt={folder}", metrics, "n=201")).columns
    assert {tag: logged[f"quality/{tag}"] for tag in columns["run"]} == pytest.approx(columns["run"], rel=1e-4)
    assert {tag: logged[f"floor/{tag}"] for tag in columns["floor"]} == pytest.approx(columns["floor"], rel=1e-4)


def test_the_classification_accuracy_score_tells_digits_from_noise(monkeypatch):
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 40)
    images, labels = (column[evenly(4600, 600)] for column in TEST)
    learn, test = slice(0, None, 2), slice(1, None, 2)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8))
    real = images[test], labels[test]
    from_noise = classification_accuracy(noise[learn], labels[learn], *real, seeds=(0,))
    from_digits = classification_accuracy(images[learn], labels[learn], *real, seeds=(0, 1))
    assert from_noise.mean < 0.3 < 0.5 < from_digits.mean
    assert from_noise.deviation == 0 < from_digits.deviation < 0.2


def test_a_look_at_real_images_is_remembered_and_a_damaged_file_replaced(tmp_path, monkeypatch):
    from cgan.metrics import cache
    from cgan.metrics.digits import DigitFeatures

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    extractor, split = DigitFeatures(), SOURCE.load("train")
    fresh = cache.cached_look(extractor, *split)
    (path,) = (tmp_path / "cgan").iterdir()
    monkeypatch.setattr(cache, "look", None)  # looking again would fail
    again = cache.cached_look(extractor, *split)
    assert all(torch.equal(one, other) for one, other in zip(fresh, again, strict=True))
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path.write_bytes(path.read_bytes()[:1000])
    assert torch.equal(cache.cached_look(extractor, *split).features, fresh.features)
    assert path.stat().st_size > 1000
    changed = split.images.clone()
    changed[0, 0, 0, 0] += 1
    assert cache.look_path(extractor, changed) != path
    next(extractor.parameters()).data[0] += 1
    assert cache.look_path(extractor, split.images) != path


def folder_of_classes(root: Path) -> Path:
    images, labels = TEST
    for place in range(0, 4600, 460):
        name = root / str(int(labels[place])) / f"{place:04d}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        to_pil(images[place]).save(name)
    return root


def test_a_folder_of_pictures_is_read_as_it_is(tmp_path):
    images, labels = TEST
    split = read_pictures(folder_of_classes(tmp_path), SOURCE.spec)
    assert torch.equal(split.images, images[torch.arange(0, 4600, 460)])
    assert torch.equal(split.labels, labels[torch.arange(0, 4600, 460)])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": np.zeros((100, 32, 32), np.uint8)}, r"expected shape \(N, 28, 28, 1\).*found \(100, 32, 32\)"),
        ({"images": np.full((100, 28, 28), 1.5)}, r"expected float images in \[0, 1\], found 1.5 to 1.5"),
        ({"images": np.full((100, 28, 28), -0.1)}, r"expected float images in \[0, 1\]"),
        ({"images": np.full((100, 28, 28), np.nan)}, "NaN or infinity"),
        ({"images": np.zeros((100, 28, 28), np.int64)}, "expected uint8 or float images, found int64"),
        ({"labels": np.full(100, 10)}, "expected labels from 0 to 9, found 10"),
        ({"labels": np.full(100, -1)}, "expected labels from 0 to 9, found -1"),
        ({"labels": np.zeros(99, int)}, r"expected labels of shape \(100,\)"),
        ({"labels": np.zeros(100)}, "whole-number type"),
        ({"images": np.zeros((0, 28, 28), np.uint8), "labels": np.zeros(0, int)}, "expected pictures, found none"),
        ({"images": np.array([{}] * 100)}, "found another file"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, changed, words):
    with pytest.raises(CganError, match=words):
        read_pictures(npz(tmp_path / "x.npz", **changed), SOURCE.spec)


def test_folders_and_wishes_that_do_not_fit_are_refused(composed, tmp_path):
    def refused(words: str, *overrides: str) -> None:
        with pytest.raises(CganError, match=words):
            run(composed("evaluate", *DATA, *overrides, folder=tmp_path / "out"))

    folder, real = folder_of_classes(tmp_path / "pictures"), npz(tmp_path / "real.npz")
    refused("100 pictures are needed, found 10; set n=10", f"images={folder}", "n=100")
    refused("kid needs at least 1000 samples, found 100", f"images={real}", "n=100", "quality.metrics=[kid]")
    few = npz(tmp_path / "few.npz", labels=np.arange(100) % 9)
    refused("intra_fid needs at least 2 samples of every class, found 0 of class 9", f"images={few}", "n=100")
    refused("no metric 'fidd'", f"images={real}", "n=100", "quality.metrics=[fidd]")
    refused("inception_score needs Inception's classes", f"images={real}", "quality.metrics=[inception_score]")
    refused("n=1: expected a whole number from 2", f"images={real}", "n=1")
    refused("cas=true needs at least 128", f"images={real}", "n=100", "cas=true")
    refused("names=.*expected 1 different names", f"images={real}", "n=100", "names=[floor]")
    refused("nothing to measure", f"images={real}", "quality=none")
    refused("no such file or folder", f"images={tmp_path / 'none.npz'}")
    refused("runs=.*found none", f"runs={tmp_path / 'pictures'}")
    (tmp_path / "empty").mkdir()
    refused("expected one folder of pictures per class, found none", f"images={tmp_path / 'empty'}")
    (tmp_path / "empty" / "3").mkdir()
    refused("expected pictures in its folders, found none", f"images={tmp_path / 'empty'}")
    Image.new("L", (20, 28)).save(folder / "0" / "mixed.png")
    refused("expected 28x28 pixels as mnist5k has, found 20x28", f"images={folder}")
    (folder / "0" / "mixed.png").write_bytes(b"no picture")
    refused("expected a picture, found something unreadable", f"images={folder}")
    (folder / "eleven").mkdir()
    refused("'eleven' is no class", f"images={folder}")
    generator = untrained(tmp_path / "nan", 0)
    torch.manual_seed(0)
    broken = LightGenerator(num_classes=10, img_shape=(1, 28, 28), width=4)
    broken.spec = SOURCE.spec
    next(broken.parameters()).data.fill_(torch.nan)
    save_generator(broken, generator)
    refused("its weights hold NaN or infinity", f"ckpt={generator}")
    write_file(tmp_path / "bad" / "x.json", b"{}")
    with pytest.raises(CganError, match="not an evaluation"):
        write_baselines(tmp_path / "bad", tmp_path / "baselines.md")
