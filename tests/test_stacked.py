"""Stacked digits: what is stacked, how their modes are counted, and training on them with and without labels."""

import json
import math
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from cgan import CganError, load_generator
from cgan.data.sources import Mnist5k, Split
from cgan.data.stacked import StackedSource
from cgan.data.unlabelled import Unlabelled
from cgan.metrics.digits import DigitExtractor, StackedDigitExtractor
from cgan.metrics.features import Features
from cgan.metrics.modes import Modes, kl_to_uniform
from cgan.spec import DataSpec
from cgan.tasks import evaluate, sample, train

SHORT = [
    "experiment=stacked_mnist",
    "data.conditional=false",
    "data@data.digits=mnist5k",
    "data.source.train=700",
    "data.source.test=300",
    "data.batch_size=100",
    "trainer.accelerator=cpu",
]


class Plates:
    """Grey plates whose pixels are 20 times their label, plus 1 in the test split; classes 0 to 3 are unequal."""

    spec = DataSpec("plates", (1, 4, 5), ("a", "b", "c", "d"))

    def prepare(self):
        pass

    def load(self, split):
        labels = torch.tensor([3, 3, 3, 1, 0, 2, 3])
        pixels = 20 * labels + (split == "test")
        return Split(pixels.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 5).contiguous(), labels)


def test_a_stack_is_named_by_its_red_green_and_blue():
    source = StackedSource(Plates(), train=50, test=9, seed=2)
    assert (source.spec.name, source.spec.img_shape, source.spec.factors) == ("stacked_plates", (3, 4, 5), (4, 4, 4))
    train_split, test_split = source.load("train"), source.load("test")
    assert (train_split.images.shape, train_split.images.dtype) == ((50, 3, 4, 5), torch.uint8)
    for image, label in zip(train_split.images, train_split.labels.tolist(), strict=True):
        shown = "+".join("abcd"[int(channel[0, 0]) // 20] for channel in image)
        assert source.spec.class_names[label] == shown
        assert (image == image[:, :1, :1]).all()
    assert (test_split.images % 20 == 1).all(), "test stacks are of test images"
    assert not (train_split.images % 20).any()
    assert train_split.labels.unique().numel() > 10


def test_stacks_follow_from_the_seed():
    same, other = (StackedSource(Plates(), train=50, seed=seed).load("train").labels for seed in (2, 3))
    assert torch.equal(StackedSource(Plates(), train=50, seed=2).load("train").labels, same)
    with pytest.raises(CganError, match=r"data\.source\.seed=-1: expected a whole number from 0"):
        StackedSource(Plates(), seed=-1)
    assert not torch.equal(other, same)


def test_colour_images_and_no_stacks_are_refused():
    with pytest.raises(CganError, match="grey images of one channel, stacked_plates has 3"):
        StackedSource(StackedSource(Plates()))
    with pytest.raises(CganError, match=r"data.source.test=0: expected"):
        StackedSource(Plates(), test=0)


def test_without_labels_all_images_are_of_one_class():
    labelled, unlabelled = Plates().load("train"), Unlabelled(Plates())
    assert unlabelled.spec == DataSpec("plates", (1, 4, 5), ("plates",))
    images, labels = unlabelled.load("train")
    assert torch.equal(images, labelled.images)
    assert labels.tolist() == [0] * 7


def test_divergence_of_a_counted_example():
    assert kl_to_uniform(torch.tensor([2, 1, 1, 0])) == pytest.approx(0.5 * math.log(2))
    assert kl_to_uniform(torch.tensor([5, 0, 0])) == pytest.approx(math.log(3))
    assert kl_to_uniform(torch.tensor([7, 7])) == pytest.approx(0)


@pytest.fixture(scope="module")
def digits():
    """One image of each digit that the classifier reads."""
    images, labels = Mnist5k().load("train")
    right = DigitExtractor()(images)[1].argmax(1) == labels
    return torch.stack([images[right & (labels == digit)][0, 0] for digit in range(10)])


def stacks(digits, *triples, labels=None):
    images = digits[torch.tensor(triples)]
    classes = torch.tensor([100 * r + 10 * g + b for r, g, b in triples] if labels is None else labels)
    return Features(classes, torch.zeros(len(images), 1), torch.zeros(len(images), 0), images)


def measured(samples, reference):
    metric = Modes()
    metric.prepare(SimpleNamespace(reference=reference, n=26))
    return metric.compute(samples, reference)


def test_modes_of_a_counted_example(digits):
    reference = stacks(digits, (0, 0, 0), (9, 9, 9))
    samples = stacks(digits, (3, 1, 4), (3, 1, 4), (0, 0, 0), (9, 9, 9))
    expected = {"modes": 3, "modes_kl": 0.5 * math.log(500) + 0.5 * math.log(250)}
    agreements = {"digit_agreement": 1, "digit_agreement_worst": 1, "stack_agreement": 1}
    agreements |= {f"digit_agreement_{digit}": 1 for digit in (0, 1, 3, 4, 9)}
    assert measured(samples, reference) == pytest.approx({**expected, **agreements})


def test_a_shuffled_label_and_swapped_channels_are_seen(digits):
    reference = stacks(digits, (0, 0, 0), (9, 9, 9))
    triples = [(3, 1, 4), (3, 1, 4), (0, 0, 0), (9, 9, 9)]
    shuffled = stacks(digits, *triples, labels=[314, 0, 314, 999])
    found = measured(shuffled, reference)
    assert found["digit_agreement"] == pytest.approx(6 / 12)  # 3, 1, 4 as asked, then 0 for 3, 1 for 0, ...
    assert found["digit_agreement_worst"] == 0  # no 0 that was asked for is one
    by_digit = {digit: found.get(f"digit_agreement_{digit}") for digit in range(10)}
    assert by_digit == {0: 0, 1: 0.5, 3: 0.5, 4: 0.5, 9: 1, **dict.fromkeys([2, 5, 6, 7, 8])}
    right = stacks(digits, *triples)
    swapped = right._replace(images=right.images.flip(1))  # blue, green, red
    assert measured(swapped, reference)["digit_agreement"] == pytest.approx(8 / 12)
    assert measured(swapped, reference)["stack_agreement"] == pytest.approx(2 / 4)
    assert measured(swapped, reference)["modes"] == 3


def test_classes_that_are_no_combinations_have_no_agreement(digits):
    letters = stacks(digits, (3, 1, 4), (3, 1, 4), (0, 0, 0), (9, 9, 9), labels=[0, 1, 2, 3])
    assert set(measured(letters, letters)) == {"modes", "modes_kl"}
    many = letters._replace(labels=torch.tensor([0, 1, 2, 1000]))
    assert set(measured(many, many)) == {"modes", "modes_kl"}


def test_without_labels_no_agreement_is_told(digits):
    reference = stacks(digits, (0, 0, 0), (9, 9, 9), labels=[0, 0])
    assert measured(reference, reference) == {"modes": 2, "modes_kl": pytest.approx(math.log(500))}


def test_modes_reads_digits_of_one_size_alone():
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(CganError, match="metrics=modes reads 28x28 digits in each channel, found images of 32x32"):
        measured(None, Features(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, 0), images))


def test_features_are_those_of_each_channel_side_by_side(digits):
    features, logits = StackedDigitExtractor()(digits[torch.tensor([[3, 1, 4], [5, 5, 2]])])
    single, _ = DigitExtractor()(digits.unsqueeze(1))
    torch.testing.assert_close(features[0], torch.cat([single[3], single[1], single[4]]), rtol=1e-4, atol=1e-4)
    assert (features.shape, logits.shape) == ((2, 192), (2, 0))
    with pytest.raises(CganError, match="features=stacked_digits reads 28x28 digits"):
        StackedDigitExtractor().check(DataSpec("photos", (3, 32, 48), ("a",)))


def test_training_without_labels_is_unconditional_everywhere(composed, tmp_path, caplog):
    caplog.set_level("INFO")
    run = train.run(composed("train", *SHORT, "trainer.max_epochs=1", folder=tmp_path / "run")).folder
    assert "on stacked_mnist5k: one class (unconditional)" in caplog.text
    record = json.loads((run / "evaluation.json").read_text())
    assert record["real"]["values"]["modes"] > 250, "of 300 stacks"
    texture = {"patch_fid", "thumbnail_fid", "spectrum_2", "spectrum_4"}
    assert set(record["entries"][0]["values"]) == {"fid", "modes", "modes_kl"} | texture
    with Image.open(run / "samples" / "epoch_0001.png") as grid:
        assert grid.size == (2 + 10 * 58, 2 + 10 * 58), "a hundred latents, no names"
    drawn = sample.run(composed("sample", f"ckpt={run}", "n=3"))
    assert drawn.images.shape == (3, 3, 28, 28)
    again = evaluate.run(
        composed("evaluate", *SHORT[1:5], "data=stacked_mnist", f"ckpt={run}",
                 "features=stacked_digits", "metrics=[fid,modes,patch_fid,thumbnail_fid,spectrum]", "n=300")
    )  # fmt: skip
    assert again.values == pytest.approx(record["entries"][0]["values"], rel=1e-3)


@pytest.mark.slow
def test_with_labels_the_digits_asked_for_are_counted_and_a_resumed_run_is_the_same(composed, tmp_path):
    conditional = [*(word for word in SHORT if word != "data.conditional=false"), "schedule=constant"]
    once = train.run(composed("train", *conditional, "trainer.max_epochs=2", folder=tmp_path / "once"))
    parts = tmp_path / "parts"
    train.run(composed("train", *conditional, "trainer.max_epochs=1", folder=parts))
    resumed = [*conditional, "trainer.max_epochs=2", f"ckpt={parts / 'checkpoints' / 'last.ckpt'}"]
    train.run(composed("train", *resumed, folder=parts))
    states = [torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (once.folder, parts)]
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(states[1]["state_dict"][name], weight), name
    record = json.loads((once.folder / "evaluation.json").read_text())
    assert record["real"]["values"]["digit_agreement"] > 0.95
    with Image.open(once.folder / "samples" / "epoch_0001.png") as grid:
        assert grid.size == (2 + 20 * 58, 22 + 10 * 58), "20 of 1,000 classes"
    generator = load_generator(once.folder)
    assert (generator.factors, generator.embedding.weight.shape) == ((10, 10, 10), (30, 32))
    assert states[0]["state_dict"]["ema.generator.embedding.weight"].shape == (30, 32)
