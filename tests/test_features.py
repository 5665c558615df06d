import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.metrics import own
from cgan.metrics.auto import AutoExtractor
from cgan.metrics.cache import cache_path, cached_features
from cgan.metrics.classifier import mirror, shift
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.distances import FrechetDistance
from cgan.metrics.features import Extractor, extract
from cgan.metrics.labels import LabelAgreement
from cgan.metrics.metric import RealImages
from cgan.metrics.own import Cifar10Extractor, OwnExtractor, read_classifier, serialised
from cgan.metrics.picture_net import PictureNet, stem_widths
from cgan.metrics.pixels import PixelExtractor
from cgan.metrics.suite import Suite
from cgan.metrics.timm_model import TimmExtractor
from cgan.metrics.values import Protocol
from cgan.records.evaluation import FILE, REAL, Entry, EvaluationRecord, read_evaluation, write_evaluation
from cgan.serving.service import Service
from cgan.spec import DataSpec
from cgan.tasks import evaluate, features
from cgan.tasks.sweep import Row, report
from cgan.tasks.train import run as train

SHAPES = DataSpec("shapes", (3, 20, 12), ("bar", "cross", "square"))
SHORT = 1200
"""Training images that a classifier is shown in a test; enough for shapes."""


def shapes(count: int, seed: int = 0) -> Split:
    """Coloured shapes of 20x12 pixels on a dark ground, each class as often as the others."""
    stream = np.random.default_rng(seed)
    images = stream.integers(0, 60, (count, 3, 20, 12), dtype=np.uint8)
    labels = np.arange(count) % 3
    for image, label in zip(images, labels, strict=True):
        y, x = stream.integers(2, 10), stream.integers(1, 5)
        colour = stream.integers(150, 256, (3, 1, 1), dtype=np.uint8)
        if label != 2:
            image[:, y + 2 : y + 4, x : x + 6] = colour
        if label == 1:
            image[:, y : y + 6, x + 2 : x + 4] = colour
        if label == 2:
            image[:, y : y + 6, x : x + 6] = colour
    return Split(torch.from_numpy(images), torch.from_numpy(labels))


class ShapesSource:
    """The shapes as a data set."""

    spec = SHAPES

    def prepare(self) -> None:
        pass

    def load(self, split: str) -> Split:
        return shapes(120) if split == "train" else shapes(60, seed=1)


TRAIN, TEST = ShapesSource().load("train"), ShapesSource().load("test")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(cache, monkeypatch, caplog) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 31), (3, 20, 12), (4, 256, 40), (1, 4, 200), (3, 512, 16)])
def test_the_classifier_takes_any_size_and_number_of_channels(shape):
    net = PictureNet(shape, 7).eval()
    assert net(torch.zeros(2, *shape)).shape == (2, 7)
    assert net.features(torch.zeros(2, *shape)).shape == (2, 192)
    assert sum(weight.numel() for weight in net.parameters()) < 720_000


def test_larger_images_pass_more_convolutions_of_fewer_channels():
    assert stem_widths(16) == []
    assert stem_widths(28) == [48]
    assert stem_widths(256) == [16, 16, 24, 48]


def test_shifts_are_of_whole_pixels_and_mirrors_of_whole_images():
    rows = torch.arange(28.0).view(1, 1, 28, 1).expand(200, 2, 28, 6)
    moved = shift(rows, torch.Generator().manual_seed(0))
    assert moved.shape == rows.shape
    offsets = (moved[:, :, 10] - 10).unique().tolist()
    assert offsets == [-2, -1, 0, 1, 2], "a 14th of 28"
    assert moved[:, :, :, 0].equal(moved[:, :, :, 5]), "a width of 6 is not shifted"
    columns = torch.arange(3.0).expand(50, 1, 2, 3)
    mirrored = mirror(columns, torch.Generator().manual_seed(0))
    turned = (mirrored[:, 0, 0, 0] == 2).sum()
    assert 10 < turned < 40
    assert mirrored[:, 0, 0].unique(dim=0).tolist() == [[0, 1, 2], [2, 1, 0]]


def test_a_classifier_is_trained_once_and_then_read_from_the_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = OwnExtractor(images=SHORT)
    first = chosen.fitted(SHAPES, TRAIN, TEST, "cpu")
    assert first.accuracy >= 0.9
    assert f"reads {first.accuracy:.1%} of the held-out images" in caplog.text
    assert re.search(r"that takes about \d+ seconds here", caplog.text)
    read = extract(first, *TEST)
    assert LabelAgreement().compute(read, read)["label_agreement"] == pytest.approx(first.accuracy)
    path = chosen.file(SHAPES, TRAIN, TEST)
    path.rename(tmp_path / "first")
    again = chosen.fitted(SHAPES, TRAIN, TEST, "cpu")
    assert again.weights_hash() == first.weights_hash(), "trained twice, the same weights"
    monkeypatch.setattr(own, "fit_classifier", None)  # training would fail
    kept = chosen.fitted(SHAPES, TRAIN, TEST, "cpu")
    assert (kept.name, kept.accuracy) == (first.name, first.accuracy)
    assert kept.name == f"own_{kept.weights_hash()[:6]}"
    assert torch.equal(kept(TEST.images)[1], first(TEST.images)[1]), "what is kept is what was measured"


def test_other_data_or_another_recipe_is_another_file():
    changed = TRAIN.images.clone()
    changed[0, 0, 0, 0] += 1
    swapped = TRAIN.labels.flip(0)
    files = [
        OwnExtractor().file(SHAPES, TRAIN, TEST),
        OwnExtractor().file(SHAPES, Split(changed, TRAIN.labels), TEST),
        OwnExtractor().file(SHAPES, Split(TRAIN.images, swapped), TEST),
        OwnExtractor(seed=2).file(SHAPES, TRAIN, TEST),
        OwnExtractor(images=100).file(SHAPES, TRAIN, TEST),
        OwnExtractor(flip=True).file(SHAPES, TRAIN, TEST),
    ]
    assert len(set(files)) == len(files)


def test_of_two_runs_at_once_one_trains_and_the_other_waits(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trained, fit = [], own.fit_classifier

    def counted(*arguments, **options):
        trained.append(1)
        fit(*arguments, **options)

    monkeypatch.setattr(own, "fit_classifier", counted)
    with ThreadPoolExecutor(2) as both:
        found = both.map(lambda _: OwnExtractor(images=120).fitted(SHAPES, TRAIN, TEST, "cpu"), range(2))
        first, second = (extractor.weights_hash() for extractor in found)
    assert first == second
    assert len(trained) == 1


def test_a_damaged_file_of_the_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = OwnExtractor(images=120)
    path = chosen.file(SHAPES, TRAIN, TEST)
    path.parent.mkdir()
    path.write_bytes(b"cut off")
    found = chosen.fitted(SHAPES, TRAIN, TEST, "cpu")
    assert read_classifier(path).weights_hash() == found.weights_hash()


def test_features_that_were_used_longest_ago_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    labels, extractor = torch.zeros(3, dtype=torch.int64), DigitExtractor()
    sets = [torch.full((3, 1, 28, 28), level, dtype=torch.uint8) for level in (0, 40, 80, 120)]
    paths = [cache_path(extractor, images) for images in sets]
    for hour, (images, path) in enumerate(zip(sets[:3], paths, strict=False)):
        cached_features(extractor, images, labels)
        os.utime(path, (3600 * hour, 3600 * hour))
    cached_features(extractor, sets[0], labels)  # the oldest is used again
    monkeypatch.setattr("cgan.metrics.cache.MAX_BYTES", 2.5 * paths[0].stat().st_size)
    cached_features(extractor, sets[3], labels)
    assert [path.exists() for path in paths] == [True, False, False, True]


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert OwnExtractor(images=120).fitted(SHAPES, TRAIN, TEST, "cpu").accuracy < 0.5
    assert "Not kept for the next time" in caplog.text
    assert "misread most held-out images" in caplog.text
    assert "try more than features.images=120" in caplog.text


def test_a_classifier_of_other_data_is_refused(tmp_path):
    found = OwnExtractor(images=SHORT).fitted(SHAPES, TRAIN, TEST, "cpu")
    (tmp_path / "features.safetensors").write_bytes(serialised(found))
    given = OwnExtractor(weights=str(tmp_path / "features.safetensors"))
    assert given.fitted(SHAPES, TRAIN, TEST, "cpu").name == found.name
    digits = DataSpec("digits", (1, 28, 28), tuple("0123456789"))
    with pytest.raises(CganError, match=r"the 3 classes of shapes .3x20x12.*has the 10 classes of digits"):
        given.fitted(digits, TRAIN, TEST, "cpu")
    shuffled = Split(TEST.images, (TEST.labels + 1) % 3)
    real, other = extract(found, *TRAIN), extract(found, *shuffled)
    with pytest.raises(CganError, match=r"read only \d+% of the held-out real images rightly"):
        Suite(found, {"fid": FrechetDistance()}, RealImages(real, other, 60))
    with pytest.raises(CganError, match=r"none\.safetensors: expected the weights of a classifier"):
        OwnExtractor(weights=str(tmp_path / "none.safetensors")).fitted(SHAPES, TRAIN, TEST, "cpu")


def test_data_of_one_class_have_no_classifier():
    single = DataSpec("cats", (3, 20, 12), ("cat",))
    with pytest.raises(CganError, match="needs at least 2 classes, cats has 1; leave features= out"):
        OwnExtractor().fitted(single, TRAIN, TEST, "cpu")
    found = AutoExtractor().fitted(single, TRAIN, TEST, "cpu")
    assert found.name == "pixels8"
    seen = extract(found, *TEST)
    assert (seen.features.shape, seen.logits.shape) == ((60, 3 * 8 * 8), (60, 0))


def test_a_classifier_that_was_asked_for_measures_unlabelled_images_of_its_shape():
    images, labels = Mnist5k(30).load("test")
    unlabelled = Split(images, torch.zeros_like(labels)), DataSpec("scans", (1, 28, 28), ("scans",))
    found = DigitExtractor().fitted(unlabelled[1], unlabelled[0], unlabelled[0], "cpu")
    seen = extract(found, *unlabelled[0])
    metrics = {"fid": FrechetDistance(), "label_agreement": LabelAgreement()}
    suite = Suite(found, metrics, RealImages(seen, seen, 100))
    assert set(suite.real.values) == {"fid"}
    with pytest.raises(CganError, match=r"cats has one class of cats \(3x20x12\)"):
        DigitExtractor().check(DataSpec("cats", (3, 20, 12), ("cat",)))


def test_thumbnails_are_means_of_areas():
    images = torch.zeros(1, 1, 4, 6, dtype=torch.uint8)
    images[..., :2, :3] = 255
    assert PixelExtractor(size=2)(images)[0].tolist() == [[1, -1, -1, -1]]


@pytest.mark.parametrize(
    ("change", "name"),
    [("none", "digits"), pytest.param("transposed", "own", marks=pytest.mark.slow), ("inverted", "own")],
)
def test_digits_are_read_by_the_bundled_classifier_unless_it_misreads_them(change, name, caplog):
    source = Mnist5k(30)
    turned = {
        "none": lambda images: images,
        "transposed": lambda images: images.transpose(2, 3).contiguous(),
        "inverted": lambda images: 255 - images,
    }[change]
    images, labels = source.load("test")
    test = Split(turned(images), labels)
    train = Split(*(column[::10] for column in test))  # a classifier of 30 digits is trained in a second
    found = AutoExtractor(images=300).fitted(source.spec, train, test, "cpu")
    assert found.name.startswith(name)
    assert ("so it is not used" in caplog.text) == (name == "own")
    if name == "digits":
        assert found.weights_hash() == DigitExtractor().weights_hash()


def test_the_bundled_classifier_of_cifar10_is_small_verified_and_good(tmp_path):
    found = Cifar10Extractor()
    assert found.accuracy >= 0.85
    assert (found.spec.img_shape, found.spec.class_names[9]) == ((3, 32, 32), "truck")
    assert own.CIFAR10.stat().st_size < 1_500_000
    changed = bytearray(own.CIFAR10.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "cifar10.safetensors").write_bytes(changed)
    with pytest.raises(CganError, match="SHA-256"):
        Cifar10Extractor(tmp_path / "cifar10.safetensors")


def test_cifar10_is_chosen_where_it_reads_the_images_as_labelled():
    bundled = Cifar10Extractor()
    stream = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (400, 3, 32, 32), generator=stream, dtype=torch.uint8)
    read = Split(noise, bundled(noise)[1].argmax(1))
    assert AutoExtractor(images=10).fitted(bundled.spec, read, read, "cpu").name == "cifar10"
    mislabelled = Split(noise, torch.where(torch.arange(400) % 4 == 0, (read.labels + 1) % 10, read.labels))
    assert AutoExtractor(images=10).fitted(bundled.spec, mislabelled, mislabelled, "cpu").name.startswith("own_")


def test_shapes_train_with_nothing_said_about_features(composed, tmp_path, cache):
    choices = ["data.source._target_=test_features.ShapesSource", "~data.source.test_per_class", "data=mnist5k"]
    tiny = ["model=light", "model.generator.width=4", "data.batch_size=32", "trainer=cpu", "trainer.max_epochs=1"]
    own_features = f"features.images={SHORT}"
    train(composed("train", *choices, *tiny, own_features, folder=tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoints" / "best.ckpt").is_file()
    record = read_evaluation(tmp_path / "run" / "evaluation.json")
    assert record.protocol.features.startswith("own_")
    assert {"fid", "label_agreement"} <= set(record.entries[0].values)
    assert record.features_accuracy == record.real.values["label_agreement"]
    assert "The classifier reads" in record.describe("label_agreement").sentence
    kept = sorted(cache.rglob("own_*.safetensors"))
    found = features.run(composed("features", *choices, own_features, f"out={tmp_path / 'mine.safetensors'}"))
    assert found.weights_hash() == record.protocol.features_hash
    assert read_classifier(tmp_path / "mine.safetensors").weights_hash() == found.weights_hash()
    cfg = composed("evaluate", *choices, own_features, f"ckpt={tmp_path / 'run'}", "n=60", folder=tmp_path / "out")
    evaluated = evaluate.run(cfg).record
    assert evaluated.protocol == record.protocol
    assert evaluated.entries[0].values["fid"] == pytest.approx(record.entries[0].values["fid"], rel=1e-3)
    assert evaluated.features_accuracy == record.features_accuracy
    assert sorted(cache.rglob("own_*.safetensors")) == kept, "nothing was trained again"


@pytest.mark.parametrize("others", ["own_bbbbbb", "own_aaaaaa"])
def test_scores_of_different_features_are_not_ranked_against_each_other(tmp_path, caplog, others):
    for name, chosen in {"0": "own_aaaaaa", "1": others}.items():
        protocol = Protocol("shapes", chosen, "0", "none", 60, int(name))
        write_evaluation(tmp_path / name / FILE, EvaluationRecord(protocol, Entry(REAL), [Entry(name)], {}, ["bar"]))
    ranked = report(tmp_path, [Row("0", {"seed": "0"}, 9.0, None), Row("1", {"seed": "1"}, 2.0, None)])
    table = (tmp_path / "sweep.txt").read_text()
    comparable = others == "own_aaaaaa"
    assert [row.name for row in ranked] == (["1", "0"] if comparable else ["0", "1"])
    assert ("Best:" in caplog.text) == comparable
    assert ("No run is the best" in caplog.text) == (not comparable)
    assert ("own_bbbbbb features" in table) == (not comparable)


def test_scores_of_one_model_with_other_weights_are_not_ranked_either(tmp_path, caplog):
    for name, weights in {"0": "aaaaaaaaaaaaaaaa", "1": "bbbbbbbbbbbbbbbb"}.items():
        protocol = Protocol("shapes", "resnet50", weights, "none", 60, 0)
        write_evaluation(tmp_path / name / FILE, EvaluationRecord(protocol, Entry(REAL), [Entry(name)], {}, ["bar"]))
    report(tmp_path, [Row("0", {"seed": "0"}, 9.0, None), Row("1", {"seed": "1"}, 2.0, None)])
    assert "No run is the best" in caplog.text
    assert "resnet50 features, 60 samples, train split, weights bbbbbb" in (tmp_path / "sweep.txt").read_text()


def test_a_model_of_timm_reads_its_own_size_from_a_file(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=0)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    found = TimmExtractor("test_vit", str(tmp_path / "weights.pth"))
    images = torch.randint(0, 256, (3, 1, 20, 12), dtype=torch.uint8)
    extracted, logits = found(images)
    assert extracted.shape == (3, model.num_features)
    assert logits.shape == (3, 0)
    torch.testing.assert_close(found(images.expand(-1, 3, -1, -1))[0], extracted)
    with pytest.raises(CganError, match=r"features\.weights=.*none\.pth: expected the weights of test_vit"):
        TimmExtractor("test_vit", str(tmp_path / "none.pth"))
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CganError, match="expected the weights of test_vit"):
        TimmExtractor("test_vit", str(tmp_path / "other.pth"))
    with pytest.raises(CganError, match=r"features\.name=test_vi: timm has no such model; it has test_vit") as caught:
        TimmExtractor("test_vi")
    assert all(map(timm.is_model, str(caught.value).partition("it has ")[2].split(", ")[:-1]))


def test_a_model_of_timm_that_cannot_be_downloaded_is_one_line_and_read_from_a_copy(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else it tries for a minute
    with pytest.raises(CganError, match=r"model\.safetensors of timm/test_vit.*features\.weights=FILE") as caught:
        TimmExtractor("test_vit")
    assert "\n" not in str(caught.value)
    assert pytest.importorskip("huggingface_hub.constants").HF_HUB_CACHE in str(caught.value)
    (key,) = re.findall(r"by features\.(\w+)=FILE", str(caught.value))
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "copy.pth")
    assert TimmExtractor("test_vit", **{key: str(tmp_path / "copy.pth")}).name == "test_vit"


def test_a_model_of_timm_without_weights_is_named_with_its_key():
    pytest.importorskip("timm")
    with pytest.raises(CganError, match=r"features\.name=botnet50ts_256: timm has no weights of it"):
        TimmExtractor("botnet50ts_256")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_no_device_for_features_and_service(composed, tmp_path):
    cfg = composed("features", "data=mnist5k", "device=cuda")
    for act in (lambda: features.run(cfg), lambda: Service(tmp_path, "cuda")):
        with pytest.raises(CganError, match=r"device=cuda: there is no such device here"):
            act()


class Changing(Extractor):
    """Has no weights that could tell one version of its code from another."""

    name = "changing"
    power = 1

    def forward(self, images):
        features = 1e-6 * images.flatten(1).float() ** self.power
        return features, features[:, :0]


def test_features_of_former_code_are_not_read_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, labels = torch.arange(48, dtype=torch.uint8).view(12, 1, 2, 2), torch.zeros(12, dtype=torch.long)
    extractor = Changing()
    assert cached_features(extractor, images, labels).features[-1, -1] == pytest.approx(47e-6)
    extractor.power = 2
    assert cached_features(extractor, images, labels).features[-1, -1] == pytest.approx(47**2 * 1e-6)


def test_stacks_of_digits_are_read_channel_by_channel(caplog):
    caplog.set_level("INFO")
    digits = Mnist5k(100).load("test")
    stacks = digits.images[:900].view(300, 3, 28, 28)
    labels = (digits.labels[:900].view(300, 3) * torch.tensor([100, 10, 1])).sum(1)
    names = tuple(map(str, range(1000)))
    spec = DataSpec("stacks", (3, 28, 28), names, (10, 10, 10))
    assert AutoExtractor().fitted(spec, (stacks, labels), (stacks, labels), "cpu").name == "stacked_digits"
    assert "stacks of digits" in caplog.text
