"""The whole evaluation on real digits: generators and images beside real ones, and what it refuses."""

import csv
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from processes import train as start_training
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from baselines import run as write_baselines
from cgan.checkpoint import load_generator, read_description, save_generator
from cgan.config import compose
from cgan.data.pictures import read_pictures
from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.files import read_lines, write_file
from cgan.metrics.cas import classification_accuracy
from cgan.metrics.features import Extractor, Features, evenly
from cgan.metrics.metric import Metric
from cgan.metrics.suite import Measured
from cgan.metrics.values import Description, described
from cgan.networks.light import LightGenerator
from cgan.records.evaluation import Entry, find_evaluation, read_evaluation, write_evaluation
from cgan.sampling.draw import draw
from cgan.sampling.grids import to_pil
from cgan.spec import DataSpec
from cgan.tasks.candidates import Candidate
from cgan.tasks.evaluate import _filled, _grids, run
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


def test_generators_and_real_images_side_by_side(composed, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 1)
    out = tmp_path / "logs" / "evaluate" / "runs" / "1"
    first, second = untrained(tmp_path / "a", 0), untrained(tmp_path / "b", 1)
    real = npz(tmp_path / "real.npz", 150)
    cfg = composed(
        "evaluate",
        *DATA,
        f"ckpt=[{first},{second}]",
        f"images={real}",
        "n=150",
        "metrics=[all,cas]",
        "names=[a,b,real_digits]",
        folder=out,
    )
    record = run(cfg).record
    assert read_evaluation(out / "evaluation.json") == record
    a, _, copies = record.entries
    assert [entry.name for entry in record.entries] == ["a", "b", "real_digits"]
    values, real = dict(copies.values), dict(record.real.values)
    for name in ("cas", "cas_deviation"):  # real students learn from training images
        assert 0 <= values.pop(name) <= 1
        assert 0 <= real.pop(name) <= 1
    assert (values, copies.class_values, copies.confusion) == (
        real,
        record.real.class_values,
        record.real.confusion,
    )
    assert a.values["fid"] > 10 * record.real.values["fid"]
    assert {"memorised", "near_duplicates"} <= set(real), "in every evaluation, beside those of real images"
    assert (record.protocol.data, record.protocol.features, record.protocol.n) == ("mnist5k", "digits", 150)
    assert (a.network, a.seconds, a.hardware) == ("LightGenerator", 90.0, "a test")
    assert np.array(a.confusion).sum() == 150
    assert set(record.descriptions) == {*real, "cas", "cas_deviation", *record.real.class_values}
    assert find_evaluation(first, tmp_path / "logs").entry == a
    with (out / "evaluation.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["value", "a", "b", "real_digits", "real images"]
    assert float(rows[1][1]) == a.values["fid"]
    assert rows[-1][0] == "class_recall/9"
    for name, grids in {"a": 4, "real_digits": 3, ".": 2}.items():
        pictures = sorted((out / name).glob("*.png"))
        assert len(pictures) == grids
        assert all(len(np.unique(np.asarray(Image.open(path).convert("L")))) > 10 for path in pictures)
    board = EventAccumulator(str(out / "tensorboard" / "a")).Reload()
    assert board.Scalars("quality/fid_digits_150")[0].value == pytest.approx(a.values["fid"])
    assert board.Scalars("result/fid_digits_150")[0].value == pytest.approx(a.values["fid"])
    beside = EventAccumulator(str(out / "tensorboard" / "a" / "real")).Reload()
    assert beside.Scalars("real/fid_digits_150")[0].value == pytest.approx(real["fid"])
    assert not any("/class" in tag or tag.count("/") > 1 for tag in board.Tags()["scalars"])
    assert {"overview", "samples", "interpolation"} <= set(board.Tags()["images"])
    for words in ("Fréchet distance", "real images", "lower is better", "Intra-class distance, worst class"):
        assert words in caplog.text
    assert "fid_digits" not in caplog.text

    # The leaderboard of this record and its copy under another name: best first, real images last.
    folder = tmp_path / "evaluations"
    write_evaluation(folder / "x.json", record)
    text = write_baselines(folder, tmp_path / "baselines.md")
    names = [name.strip() for name in text[text.index("| ") :].splitlines()[0].split("|")[2:-1]]
    ordered = sorted(record.entries[:2], key=lambda entry: entry.values["fid"])
    assert names == ["real_digits", *(entry.name for entry in ordered), "real images"]
    assert "| Intra-class distance, worst class (lower is better) |" in text
    assert "1.5 min" in text
    assert (tmp_path / "baselines.md").read_text() == text
    other = replace(record, real=replace(record.real, values={"fid": record.real.values["fid"] + 1}))
    write_evaluation(folder / "y.json", other)
    with pytest.raises(CganError, match="values of real images of mnist5k differ"):
        write_baselines(folder, tmp_path / "baselines.md")


def test_evaluating_the_best_checkpoint_repeats_the_runs_own_record(composed, tmp_path):
    metrics = "metrics=[fid,precision_recall,intra_fid]"
    tiny = [
        "model=light",
        "model.generator.width=8",
        "data.batch_size=32",
        "trainer.accelerator=cpu",
        "~callbacks.progress",
        "~callbacks.curves",
    ]
    trained = train(
        composed("train", *DATA, *tiny, metrics, "quality.n=200", "trainer.max_epochs=1", folder=tmp_path / "run")
    )
    own = read_evaluation(tmp_path / "run" / "evaluation.json")
    assert own.entries[0].values == trained.values
    cfg = composed("evaluate", *DATA, f"runs={tmp_path}", metrics, "n=200", folder=tmp_path / "out")
    record = run(cfg).record
    (entry,) = record.entries
    assert (record.protocol, record.real.values, record.descriptions) == (
        own.protocol,
        own.real.values,
        own.descriptions,
    )
    assert (entry.values, entry.class_values) == (own.entries[0].values, own.entries[0].class_values)
    assert (entry.images_seen, entry.epoch, entry.network) == (384, 1, "LightGenerator")
    assert "CPU cores" in entry.hardware
    assert entry.command.startswith("cgan train data=mnist5k")
    assert metrics in entry.command
    (point,) = entry.curve
    assert (point.values, point.images_seen) == (entry.values, 384)
    assert point.seconds > entry.seconds > 0  # evaluating counts
    cfg = composed(
        "evaluate", *DATA, f"ckpt={trained.folder}", metrics, "n=200", "batch_size=33", folder=tmp_path / "odd"
    )
    assert run(cfg).record.entries[0].values == pytest.approx(entry.values, rel=1e-3)


class Rising(Metric):
    """A Fréchet distance by which each epoch is worse than all before."""

    values = described("fid")
    count = itertools.count()

    def compute(self, samples, reference):
        return {"fid": float(next(self.count))}


def recorded(folder):
    """A run's entry in its record, which is about what ``best.ckpt`` holds."""
    entry = read_evaluation(folder / "evaluation.json").entries[0]
    assert entry.file == "checkpoints/best.ckpt"
    assert entry.images_seen == read_description(folder / entry.file)["images_seen"]
    return entry


def test_a_resumed_run_keeps_its_curve_and_its_best_epoch(composed, tmp_path):
    bare = [f"callbacks.{name}=null" for name in ("collapse", "curves", "sample_grid", "statistics")]
    tiny = ["model=light", "model.generator.width=4", *DATA, "data.batch_size=32", "trainer=cpu", *bare]
    tiny += ["features=pixels", "metrics=[fid]", "metrics.fid._target_=test_evaluate.Rising"]
    folder, moved, new = tmp_path / "run", tmp_path / "moved", tmp_path / "new"
    train(composed("train", *tiny, "quality.n=100", "trainer.max_epochs=1", folder=folder))
    (first,) = recorded(folder).curve
    folder.rename(moved)
    resumed = [*tiny, f"ckpt={moved / 'checkpoints/last.ckpt'}"]
    train(composed("train", *resumed, "quality.n=100", "trainer.max_epochs=2", folder=new))
    assert recorded(new).epoch == 2, "what was better lies in another folder"
    train(composed("train", *resumed, "quality.n=100", "trainer.max_epochs=2", folder=moved))
    after = recorded(moved)
    assert (after.epoch, after.values, after.curve[0]) == (1, first.values, first)
    assert [point.epoch for point in after.curve] == [1, 2]
    assert after.curve[1].seconds > first.seconds
    train(composed("train", *resumed, "quality.n=50", "trainer.max_epochs=3", folder=moved))
    assert [point.epoch for point in recorded(moved).curve] == [3], "values of other samples are not compared with"


class Brightness(Metric):
    """A user's own metric."""

    values = (Description("brightness", "Brightness", "Mean grey level of the images."),)

    def compute(self, samples, reference):
        return {"brightness": float(samples.images.float().mean())}


class Halves(Extractor):
    """A user's own features: the mean of each half; no weights, no classes."""

    name = "halves"

    def check(self, spec):
        if spec.img_shape[1] % 2:
            raise CganError("features=halves needs an even height")

    def forward(self, images):
        halves = images.float().unflatten(2, (2, -1)).mean((1, 3, 4))
        return halves, torch.empty(len(images), 0)


def test_metrics_and_features_of_ones_own_work_from_ones_own_yaml(tmp_path):
    for place, content in {
        "metrics/mine.yaml": "brightness: {_target_: test_evaluate.Brightness}",
        "features/halves.yaml": "_target_: test_evaluate.Halves",
    }.items():
        (tmp_path / "conf" / place).parent.mkdir(parents=True)
        (tmp_path / "conf" / place).write_text(content)
    choices = [*DATA, "features=halves", "metrics=[quick,mine]"]
    tiny = ["model=light", "model.generator.width=4", "data.batch_size=32", "trainer=cpu", "trainer.max_epochs=1"]
    train(compose("train", [*choices, *tiny, "quality.n=100"], tmp_path / "run", [tmp_path / "conf"]))
    own = read_evaluation(tmp_path / "run" / "evaluation.json")
    assert own.protocol.features == "halves"
    assert {"fid", "patch_fid", "brightness"} <= set(own.entries[0].values)
    assert "label_agreement" not in own.entries[0].values, "it needs a classifier: left out"
    cfg = compose("evaluate", [*choices, f"ckpt={tmp_path / 'run'}", "n=100"], tmp_path / "out", [tmp_path / "conf"])
    record = run(cfg).record
    assert record.entries[0].values == own.entries[0].values
    assert record.describe("brightness").title == "Brightness"
    assert not record.entries[0].confusion


def test_a_truncation_is_that_of_the_samples_and_part_of_the_protocol(composed, tmp_path):
    labels = [label for label in range(10) for _ in range(15)]
    images = draw(load_generator("pretrained"), labels, seed=3, truncation=0.2)
    np.savez(tmp_path / "drawn.npz", images=images.squeeze(1).numpy(), labels=np.array(labels))
    words = [*DATA, "n=150", "metrics=[fid,variance_ratio]", "seed=3", "truncation=0.2", "ckpt=pretrained"]
    record = run(composed("evaluate", *words, f"images={tmp_path / 'drawn.npz'}")).record
    truncated, drawn = record.entries
    assert truncated.values == pytest.approx(drawn.values, rel=1e-4)
    assert truncated.values["variance_ratio"] < 0.5
    assert record.protocol.truncation == 0.2
    assert str(record.protocol) == "mnist5k, digits features, 150 samples, train split, truncation 0.2"
    assert record.protocol.tag("class_fid/3") == "class_fid_digits_150_truncation0.2/3"


@pytest.mark.parametrize("n", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_few_samples_are_enough_for_the_metrics_that_need_few(composed, tmp_path, caplog, n):
    caplog.set_level("INFO")
    real = npz(tmp_path / "real.npz", n)
    entry = run(composed("evaluate", *DATA, f"images={real}", f"n={n}", folder=tmp_path / "out")).record.entries[0]
    assert {"fid", "label_agreement", "exact_copies"} <= set(entry.values)
    assert "Left out: kid (needs 1,000 samples" in caplog.text
    assert f"\nmnist5k, digits features, {n} samples, train split\n" in caplog.text
    assert f"Warning: {n} samples are few: shares come in steps of 1/{n}" in caplog.text
    assert np.sum(entry.confusion) == n


@pytest.mark.slow
def test_two_processes_measure_what_one_does(composed, tmp_path):
    """Each rank draws and reads its share, here of 201 images; the averaged generator is the same on both."""
    metrics = "metrics=[fid,precision_recall,near_duplicates,label_agreement]"
    choices = ["model=light", "model.generator.width=4", "data.batch_size=16", "trainer=cpu", "trainer.max_epochs=1"]
    ranks = ["trainer.devices=2", "++trainer.strategy=ddp_find_unused_parameters_true", "~callbacks.curves"]
    folder = tmp_path / "run"
    start_training(*DATA, *choices, *ranks, metrics, "quality.n=201", f"hydra.run.dir={folder}", cwd=tmp_path)
    (logged,) = [row for row in read_lines(folder / "metrics.jsonl") if "quality/fid_digits_201" in row]
    record = run(composed("evaluate", *DATA, f"ckpt={folder}", metrics, "n=201")).record
    for prefix, entry in (("quality", record.entries[0]), ("real", record.real)):
        found = {name: logged[f"{prefix}/{record.protocol.tag(name)}"] for name in entry.values}
        assert found == pytest.approx(entry.values, rel=1e-4)
    assert read_evaluation(folder / "evaluation.json").entries[0].values["fid"] == logged["quality/fid_digits_201"]


def test_the_classification_accuracy_score_tells_digits_from_noise(monkeypatch):
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 40)
    images, labels = (column[evenly(4600, 600)] for column in TEST)
    learn, test = slice(0, None, 2), slice(1, None, 2)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8))
    real = images[test], labels[test]
    from_noise = classification_accuracy(noise[learn], labels[learn], *real, seeds=(0,))
    from_digits = classification_accuracy(images[learn], labels[learn], *real, seeds=(0, 1))
    assert from_noise[0] < 0.3 < 0.5 < min(from_digits)
    assert from_digits[0] != from_digits[1]


def test_features_of_real_images_are_cached_and_a_damaged_file_replaced(tmp_path, monkeypatch):
    from cgan.metrics import cache
    from cgan.metrics.digits import DigitExtractor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    extractor, split = DigitExtractor(), SOURCE.load("train")
    fresh = cache.cached_features(extractor, *split)
    (path,) = (tmp_path / "cgan").iterdir()
    extract, seen = cache.extract, []
    monkeypatch.setattr(cache, "extract", lambda *given: seen.append(len(given[1])) or extract(*given))
    again = cache.cached_features(extractor, *split)
    assert all(torch.equal(one, other) for one, other in zip(fresh, again, strict=True))
    assert seen == [cache.PROBED], "a few, to see whether they are still made so"
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path.write_bytes(path.read_bytes()[:1000])
    assert torch.equal(cache.cached_features(extractor, *split).features, fresh.features)
    assert path.stat().st_size > 1000
    changed = split.images.clone()
    changed[0, 0, 0, 0] += 1
    assert cache.cache_path(extractor, changed) != path
    next(extractor.parameters()).data[0] += 1
    assert cache.cache_path(extractor, split.images) != path


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


def test_two_folders_are_compared_without_a_generator(composed, tmp_path):
    """The second has 40 real digits of each class; in the first the threes are eights."""
    images, labels = TEST
    for place in range(4600):
        rank, name = place % 460, str(int(labels[place]))
        drawn = images[place + 5 * 460] if name == "3" else images[place]
        for folder, picture, chosen in (("real", images[place], rank < 40), ("drawn", drawn, 40 <= rank < 60)):
            if chosen:
                (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
                to_pil(picture).save(tmp_path / folder / name / f"{rank}.png")
    choices = [f"images={tmp_path / 'drawn'}", f"images2={tmp_path / 'real'}", "features=digits", "metrics=quick"]
    record = run(composed("evaluate", *choices, folder=tmp_path / "out")).record
    assert (record.protocol.data, record.protocol.n, len(record.class_names)) == ("real", 200, 10)
    drawn, real = record.entries[0], record.real
    assert drawn.class_values["class_agreement"][3] == 0
    assert min(drawn.class_values["class_agreement"][:3]) > 0.9 < min(real.class_values["class_agreement"])
    assert drawn.class_values["class_recall"][3] < 0.2 < min(drawn.class_values["class_recall"][:3])
    assert drawn.values["patch_fid"] < 0.1
    few = run(composed("evaluate", *choices, "n=20", folder=tmp_path / "few")).record.entries[0]
    assert [sum(row) for row in few.confusion] == [2] * 10, "of fewer images some of each class"
    for name, digit in (("zeros", 0), ("ones", 1)):  # pictures alone, of another size, coloured
        (tmp_path / name).mkdir()
        for rank in range(30):
            picture = to_pil(images[460 * digit + rank]).resize((20, 12)).convert("RGB")
            picture.putpixel((0, 0), (200, rank, 0))
            picture.save(tmp_path / name / f"{rank}.png")
    flat = [f"images={tmp_path / 'zeros'}", f"images2={tmp_path / 'ones'}", "features=pixels"]
    record = run(composed("evaluate", *flat, "metrics=[fid,spectrum]", folder=tmp_path / "flat")).record
    assert (record.protocol.n, record.class_names) == (15, ["ones"])
    assert record.entries[0].values["fid"] > 3 * record.real.values["fid"]
    with pytest.raises(CganError, match="name what is compared with it, such as images=FOLDER"):
        run(composed("evaluate", f"images2={tmp_path / 'real'}", folder=tmp_path / "out"))
    (tmp_path / "real" / "labels.csv").write_text("filename,label\n")  # names none of the pictures
    with pytest.raises(CganError, match="no picture to train on has a class"):
        run(composed("evaluate", *choices, folder=tmp_path / "unnamed"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": np.zeros((100, 32, 32), np.uint8)}, r"expected shape \(N, 28, 28, 1\).*found \(100, 32, 32\)"),
        ({"images": np.full((100, 28, 28), 1.5)}, r"expected float images in \[0, 1\], found 1.5 to 1.5"),
        ({"images": np.full((100, 28, 28), -0.1)}, r"expected float images in \[0, 1\]"),
        ({"images": np.full((100, 28, 28), np.nan)}, "NaN or infinity"),
        ({"images": np.eye(28, dtype=np.uint8)[None].repeat(100, 0)}, "found only 0 and 1; multiply them by 255"),
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


def test_folders_and_requests_that_do_not_fit_are_refused(composed, tmp_path):
    def refused(words: str, *overrides: str) -> None:
        with pytest.raises(CganError, match=words):
            run(composed("evaluate", *DATA, *overrides, folder=tmp_path / "out"))

    folder, real = folder_of_classes(tmp_path / "pictures"), npz(tmp_path / "real.npz")
    refused("100 images are needed, found 10; set n=10", f"images={folder}", "n=100")
    refused("none of those chosen can be computed", f"images={real}", "n=100", "metrics=[kid,inception_score]")
    refused("n=1: expected a whole number from 2", f"images={real}", "n=1")
    refused("names=.*expected 1 different names", f"images={real}", "n=100", "names=[real images]")
    refused("truncation=-1: expected a number from 0", f"images={real}", "n=100", "truncation=-1")
    refused("metrics: nothing is chosen", f"images={real}", "metrics=[]")
    refused("no such file or folder", f"images={tmp_path / 'none.npz'}")
    refused("runs=.*found none", f"runs={tmp_path / 'pictures'}")
    (tmp_path / "empty").mkdir()
    refused("expected one folder of pictures per class, found nothing", f"images={tmp_path / 'empty'}")
    Image.new("L", (20, 28)).save(folder / "0" / "mixed.png")
    (folder / "0" / "mixed.png").write_bytes(b"no picture")
    refused("expected a picture, found something else", f"images={folder}")
    (folder / "0" / "mixed.png").rename(folder / "0" / "notes.txt")
    shutil.copytree(folder / "0", folder / "eleven")
    refused("'eleven' is no class", f"images={folder}")
    generator = untrained(tmp_path / "nan", 0)
    torch.manual_seed(0)
    broken = LightGenerator(num_classes=10, img_shape=(1, 28, 28), width=4)
    broken.spec = SOURCE.spec
    next(broken.parameters()).data.fill_(torch.nan)
    save_generator(broken, generator)
    refused("its weights hold NaN or infinity", f"ckpt={generator}")
    write_file(tmp_path / "bad" / "x.json", b"{}")
    with pytest.raises(CganError, match="not an evaluation record"):
        write_baselines(tmp_path / "bad", tmp_path / "baselines.md")


def test_few_samples_of_very_many_classes_have_grids_and_no_confusion_matrix():
    """Shown are classes that were drawn, where none of those shown else was; one of 1,000 classes is no matrix."""
    spec = DataSpec("many", (1, 2, 3), tuple(f"class {label}" for label in range(1000)))
    labels = torch.tensor([label for label in range(1000) if label not in spec.shown_labels()][:4])
    images = (torch.arange(4 * 6).view(4, 1, 2, 3) * 10).to(torch.uint8)
    samples = Features(labels, torch.zeros(4, 2), torch.zeros(4, 1000), images)
    cfg = OmegaConf.create({"seed": 0, "truncation": 1})
    grids = _grids(
        Candidate(Entry("a"), images=Split(images, labels)), samples, samples.at(torch.tensor([2, 3])), cfg, spec
    )
    assert sorted(grids) == ["extremes.png", "neighbours.png", "samples.png"]
    suite = SimpleNamespace(extractor=SimpleNamespace(classes="data"))
    assert _filled(Entry("a"), Measured({}, {}), samples, suite).confusion == []
