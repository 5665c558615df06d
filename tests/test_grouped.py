"""Groups of alike images in place of labels."""

import json
import re

import pytest
import torch
from conftest import TINY, TINY_UNMEASURED
from PIL import Image
from torch import Tensor

from cgan.checkpoint import load_generator
from cgan.config import compose
from cgan.data.build import build_source
from cgan.data.datamodule import ImageData
from cgan.data.grouped import BINS, CELLS, Grouped, outlines
from cgan.data.sources import Split
from cgan.data.unlabelled import Unlabelled
from cgan.errors import CganError
from cgan.metrics.auto import AutoExtractor
from cgan.metrics.features import Features, labels_of_samples
from cgan.metrics.metric import RealImages
from cgan.spec import DataSpec
from cgan.tasks import evaluate, sample, train
from cgan.tasks.resume import without_labels

HEIGHT, WIDTH = 28, 42


def kinds(*numbers: int) -> Tensor:
    """Noisy images of one channel: 0 dark, 1 with a bright left half, 2 with a bright right half."""
    images = torch.randint(0, 60, (len(numbers), HEIGHT, WIDTH), generator=torch.Generator().manual_seed(7))
    for image, number in zip(images, numbers, strict=True):
        half = {0: slice(0), 1: slice(WIDTH // 2), 2: slice(WIDTH // 2, None)}[number]
        image[:, half] += 180
    return images.to(torch.uint8)


TRAIN = ([0] * 30 + [1] * 11 + [2] * 5, [1, 2] * 23, [2] * 7 + [0] * 20 + [1] * 19)
TEST = ([2, 2, 0, 2], [1, 1, 1, 2], [0, 1, 0, 0])


class Pictures:
    """Three channels, each of which is a picture of its own, and labels that say nothing of them."""

    spec = DataSpec("pictures", (3, HEIGHT, WIDTH), ("a", "b"))
    report = ("46 pictures",)

    def prepare(self) -> None:
        pass

    def load(self, split: str) -> Split:
        images = torch.stack([kinds(*channel) for channel in (TRAIN if split == "train" else TEST)], dim=1)
        return Split(images, torch.arange(len(images)) % 2)


class Grey(Pictures):
    spec = DataSpec("grey", (1, HEIGHT, WIDTH), ("a", "b"))

    def load(self, split: str) -> Split:
        images, labels = super().load(split)
        return Split(images[:, :1], labels)


class Uneven(Grey):
    """45 of one class and one of another, whether by label or by what they show."""

    def load(self, split: str) -> Split:
        return Split(kinds(*[1] * 45, 2)[:, None], torch.tensor([0] * 45 + [1]))


def same_partition(labels: Tensor, expected: list[int]) -> bool:
    pairs = set(zip(labels.tolist(), expected, strict=True))
    return len(pairs) == len(set(labels.tolist())) == len(set(expected))


def test_groups_are_the_kinds_of_images_whatever_the_labels(caplog):
    caplog.set_level("INFO")
    grouped = Grouped(Grey(), 3)
    assert grouped.spec == DataSpec("grey", (1, HEIGHT, WIDTH), ("g0", "g1", "g2"), grouped=True)
    test = grouped.load("test")  # whichever is read first, groups are those of the training split
    train = grouped.load("train")
    assert same_partition(torch.cat([train.labels, test.labels]), TRAIN[0] + TEST[0])
    assert torch.equal(test.images, Grey().load("test").images)
    assert caplog.messages == [f"Sorting {count} images into groups of alike outlines" for count in (4, 46)]
    assert grouped.report[0] == "46 pictures"
    assert re.fullmatch(r"Groups:   3 classes of 5 \(g\d\) to 30 \(g\d\)", grouped.report[1])


def test_an_outline_is_where_edges_have_which_direction():
    """Right half bright: light grows to the right (the first of eight directions) in the middle column of cells."""
    image = torch.zeros(1, 2, 20, 30, dtype=torch.uint8)
    image[..., 15:] = 200
    for picture, direction in ((image, 0), (image.flip(3), 4), (255 - image, 4)):
        found = torch.from_numpy(outlines(picture)).view(BINS, CELLS, CELLS)
        expected = torch.zeros(BINS, CELLS, CELLS)
        expected[direction, :, 2] = 0.2**0.5
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    down = torch.from_numpy(outlines(image.transpose(2, 3))).view(BINS, CELLS, CELLS)
    assert down.flatten(1).sum(1).argmax() == 2
    assert not outlines(image * 0).any()


@pytest.mark.parametrize("count", [2, 12, 46])
def test_as_many_groups_as_asked_for_up_to_one_per_image(count):
    assert len(set(Grouped(Grey(), count).load("train").labels.tolist())) == count


def test_a_group_is_what_paths_of_alike_images_connect():
    """Two bands, each turned by half a circle: k-means and Ward's method put 50 and 51 % where they belong."""
    across, down = torch.meshgrid(torch.arange(28.0) - 14, torch.arange(28.0) - 14, indexing="ij")
    turned = [across * turn.cos() + down * turn.sin() for turn in torch.linspace(0, torch.pi, 60)]
    bands = [((place - centre).abs() < 3).to(torch.uint8) * 255 for centre in (0, 6) for place in turned]

    class Bands(Grey):
        def load(self, split: str) -> Split:
            return Split(torch.stack(bands)[:, None], torch.zeros(120, dtype=torch.int64))

    assert same_partition(Grouped(Bands(), 2).load("train").labels, [0] * 60 + [1] * 60)


def test_copies_do_not_keep_alike_images_apart():
    class Copies(Grey):
        def load(self, split: str) -> Split:
            images, labels = super().load(split)
            return Split(images.repeat(12, 1, 1, 1), labels.repeat(12))

    assert same_partition(Grouped(Copies(), 3).load("train").labels, TRAIN[0] * 12)


def test_each_channel_is_a_factor_of_its_own_the_last_one_counting_fastest():
    grouped = Grouped(Pictures(), [3, 2, 3])
    assert (grouped.spec.factors, grouped.spec.num_classes) == ((3, 2, 3), 18)
    assert grouped.spec.class_names[1 * 6 + 0 * 3 + 2] == "g1+g0+g2"
    labels = torch.cat([grouped.load(split).labels for split in ("train", "test")])
    for channel, part in enumerate(torch.unravel_index(labels, (3, 2, 3))):
        assert same_partition(part, TRAIN[channel] + TEST[channel]), channel


def test_groups_are_the_same_each_time():
    first, again = (Grouped(Grey(), 5).load("train").labels for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (1, "data.groups=1: expected a whole number from 2"),
        ([3, 2.5, 3], "data.groups=2.5: expected a whole number from 2"),
        ([3, 3], r"data.groups=\[3, 3\]: expected one number, or one for each of 3 channels"),
        ([22, 22, 22], r"data.groups=\[22, 22, 22\]: 10,648 classes, expected 10,000 at most"),
    ],
)
def test_impossible_groups_are_refused(groups, words):
    with pytest.raises(CganError, match=words):
        Grouped(Pictures(), groups)


def test_more_groups_than_images_are_refused():
    with pytest.raises(CganError, match=r"data\.groups=47: more groups than the 46 different outlines"):
        Grouped(Pictures(), 47).load("test")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.groups=20"], "data.groups=20: they take the place of labels; add data.conditional=false"),
        (["data.groups=many", "data.conditional=false"], "data.groups=many: expected a whole number from 2"),
        (["data.groups=[]", "data.conditional=false"], "data.groups=[]: expected one number, or one for each of 1"),
    ],
)
def test_wrong_words_are_one_line(words, message):
    with pytest.raises(CganError) as refused:
        build_source(compose("train", ["data=mnist5k", *words]).data)
    assert str(refused.value).startswith(message)


def test_pictures_of_one_class_need_no_further_word(tmp_path):
    for number, picture in enumerate(kinds(0, 1, 2, 1, 0, 2, 2, 1, 0, 0)):
        Image.fromarray(picture.numpy()).save(tmp_path / f"{number}.png")
    source = build_source(compose("train", ["data=folder", f"data.root={tmp_path}", "data.groups=3"]).data)
    assert source.spec.class_names == ("g0", "g1", "g2")
    assert len(source.load("train").labels.unique()) == 3


def test_unequal_groups_are_no_fault(caplog):
    caplog.set_level("INFO")
    for source, warned in ((Uneven(), True), (Grouped(Uneven(), 2), False)):
        caplog.clear()
        ImageData(source).setup("fit")
        assert ("Classes differ more than tenfold (1 to 45 pictures)" in caplog.text) == warned


def test_a_generator_of_groups_is_trained_measured_and_drawn_from(composed, tmp_path):
    groups = ["data.conditional=false", "data.groups=12"]
    run = train.run(composed("train", *TINY, *groups, "features=digits", folder=tmp_path / "run")).folder
    assert load_generator(run).spec.class_names == tuple(f"g{number}" for number in range(12))
    assert sample.run(composed("sample", f"ckpt={run}", "classes=[g3,g11]", "n=2")).images.shape == (4, 1, 28, 28)
    again = evaluate.run(
        composed("evaluate", "data=mnist5k", *groups, f"ckpt={run}", "features=digits", "metrics=quick", "n=100")
    )
    record = json.loads((run / "evaluation.json").read_text())
    assert again.record.class_names == record["class_names"]
    assert "fid" in again.values
    assert "label_agreement" not in again.values, "the classifier reads digits, not groups"


@pytest.mark.parametrize(
    "other",
    [
        ["data.source.test_per_class=480", "data.conditional=false", "data.groups=10"],
        ["data.conditional=true", "data.groups=null"],
    ],
    ids=["other-pictures", "labels"],
)
def test_a_run_is_not_resumed_with_other_groups_of_the_same_name(composed, tmp_path, other):
    groups = ["data.conditional=false", "data.groups=10"]
    train.run(composed("train", *TINY_UNMEASURED, *groups, "trainer.max_epochs=1", folder=tmp_path))
    last = f"ckpt={tmp_path / 'checkpoints' / 'last.ckpt'}"
    train.run(composed("train", *TINY_UNMEASURED, *groups, "trainer.max_epochs=2", last, folder=tmp_path))
    with pytest.raises(CganError, match=r"data\.groups: the groups of images are not those of the checkpoint"):
        train.run(composed("train", *TINY_UNMEASURED, *other, "trainer.max_epochs=3", last, folder=tmp_path))


def test_an_exported_generator_of_groups_says_how_to_get_its_data(composed, tmp_path):
    groups = ["data.conditional=false", "data.groups=12", "trainer.max_epochs=1"]
    run = train.run(composed("train", *TINY_UNMEASURED, *groups, folder=tmp_path / "run")).folder
    words = r"it draws the 12 groups of mnist5k \(1x28x28\), the images are the 10 classes of mnist5k \(1x28x28\); set "
    with pytest.raises(CganError, match=words + r"data=mnist5k data\.conditional=false data\.groups=12$"):
        evaluate.run(composed("evaluate", "data=mnist5k", f"ckpt={run}", "n=100"))
    assert without_labels(Grouped(Pictures(), [3, 2, 3]).spec.to_dict())[1] == "data.groups=[3,2,3]"
    assert without_labels(Unlabelled(Grey()).spec.to_dict()) == ["data.conditional=false"]
    assert without_labels(Grey.spec.to_dict()) == []


def test_of_very_many_groups_no_classifier_is_trained(caplog):
    caplog.set_level("INFO")
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    spec = Grouped(Pictures(), [6, 6, 6]).spec
    AutoExtractor().fitted(spec, (images, torch.arange(4)), (images, torch.arange(4)), "cpu")
    assert "Features: thumbnails" in caplog.text


def test_a_classifier_of_the_groups_is_trained_where_none_is_named(caplog):
    caplog.set_level("INFO")
    grouped = Grouped(Grey(), 3)
    splits = {split: grouped.load(split) for split in ("train", "test")}
    extractor = AutoExtractor(images=500).fitted(grouped.spec, splits["train"], splits["test"], "cpu")
    assert (extractor.spec, extractor.classes) == (grouped.spec, "data")
    assert DataSpec.from_dict(grouped.spec.to_dict()) == grouped.spec
    assert grouped.spec.classes == "3 groups of alike images, g0 to g2"
    with pytest.raises(CganError, match="data spec: expected a name"):
        DataSpec.from_dict(grouped.spec.to_dict() | {"grouped": "yes"})


def test_real_images_are_not_cut_to_groups_that_differ_by_chance():
    """8,000 groups and 500 images: hardly two of a group, so the shares of both splits differ almost wholly."""
    generator = torch.Generator().manual_seed(3)
    reference, held_out = (torch.randint(8000, (size,), generator=generator) for size in (2000, 500))
    features = [Features(labels, *[torch.zeros(len(labels), 1)] * 2, labels) for labels in (reference, held_out)]
    assert len(RealImages(*features, 500).samples.labels) == 500
    few = torch.cat([torch.zeros(400), torch.ones(100)]).long()  # four of five are of a class that has half
    features[0] = Features(torch.arange(2000) % 2, *[torch.zeros(2000, 1)] * 2, torch.zeros(2000))
    features[1] = Features(few, *[torch.zeros(500, 1)] * 2, few)
    assert RealImages(*features, 500).samples.labels.bincount().tolist() == [250, 100]
    features[1] = Features(few + 2, *[torch.zeros(500, 1)] * 2, few)
    assert len(RealImages(*features, 500).samples.labels) == 500, "no class of the reference is held out"


def test_groups_are_asked_for_at_random_and_classes_in_their_shares():
    reference, spec = torch.tensor([0] * 900 + [1] * 100), Grouped(Grey(), 2).spec
    exact = labels_of_samples(Grey.spec, reference, 400, 0)
    assert exact.bincount().tolist() == [360, 40]
    counts = {labels_of_samples(spec, reference, 400, seed).bincount().tolist()[1] for seed in range(8)}
    assert len(counts) > 4
    assert all(20 < count < 60 for count in counts), "40, give or take 6"
