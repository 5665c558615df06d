"""Metrics on inputs whose values are known on paper, and on staged failures."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn

from cgan.config import compose
from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.metrics.cas import ClassificationAccuracy, classification_accuracy
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.distances import (
    FrechetDistance,
    InceptionScore,
    IntraClassDistance,
    KernelDistance,
    class_distances,
    frechet_distance,
)
from cgan.metrics.features import Extractor, Features, evenly, extract, in_class_shares
from cgan.metrics.labels import ClassAgreement, LabelAgreement, confidence, confusion
from cgan.metrics.manifold import ClassRecall, DensityCoverage, PrecisionRecall, _hits
from cgan.metrics.metric import Metric, RealImages
from cgan.metrics.neighbours import nearest
from cgan.metrics.suite import Suite, checked
from cgan.metrics.values import Description, beside_real, describe, short
from cgan.metrics.variety import ExactCopies, Memorised, NearDuplicates, VarianceRatio
from cgan.records.summary import Summary
from cgan.reporting.table import number


def features_of(features=None, labels=None, logits=None, images=None) -> Features:
    """Features with only the columns that a test is about."""
    given = next(column for column in (features, labels, logits, images) if column is not None)
    n = len(given)
    return Features(
        torch.zeros(n, dtype=torch.long) if labels is None else labels,
        torch.zeros(n, 1) if features is None else features,
        torch.zeros(n, 2) if logits is None else logits,
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8) if images is None else images,
    )


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def real() -> tuple[Features, Features, DigitExtractor]:
    """4,000 training digits and 1,000 test digits, as features."""
    extractor, source = DigitExtractor(), Mnist5k(100)
    return extract(extractor, *source.load("train")), extract(extractor, *source.load("test")), extractor


def computed(metric: Metric, samples: Features, reference: Features) -> dict:
    """Values of samples beside as many reference images."""
    metric.prepare(RealImages(reference, samples, len(samples.labels)))
    return metric.compute(samples, reference)


def collapsed(test: Features) -> Features:
    """A staged mode collapse: every image is one of the three first of its class."""
    return test.at(torch.cat([torch.arange(3).repeat(34)[:100] + 100 * label for label in range(10)]))


def test_kernel_distance_of_known_points():
    """In one dimension k(x, y) = (xy + 1)^3; unbiased within, plain mean between (Gretton et al. 2012)."""
    samples = features_of(torch.full((1000, 1), 2.0))  # k = 125 within
    reference = features_of(torch.full((1000, 1), 1.0))  # k = 8 within, 27 between
    before = torch.get_rng_state()
    values = KernelDistance().compute(samples, reference)
    assert values == {"kid": pytest.approx(125 + 8 - 2 * 27), "kid_deviation": pytest.approx(0, abs=1e-9)}
    assert torch.equal(torch.get_rng_state(), before)


def test_inception_score_of_sure_and_of_unsure_logits():
    sure = features_of(logits=40 * F.one_hot(torch.arange(4000) % 4, 4).double())
    assert InceptionScore().compute(sure, sure)["inception_score"] == pytest.approx(
        4, rel=0.02
    )  # as many as there are classes
    unsure = features_of(logits=torch.zeros(4000, 4))
    assert InceptionScore().compute(unsure, unsure) == {
        "inception_score": pytest.approx(1),
        "inception_score_deviation": pytest.approx(0, abs=1e-6),
    }


def test_nearest_neighbours_leave_the_point_itself_out_only_if_asked(monkeypatch):
    monkeypatch.setattr("cgan.metrics.neighbours.PART_BYTES", 4 * 3)  # three keys at a time
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert nearest(points, points).distances.flatten().tolist() == [0, 0, 0, 0]
    found = nearest(points, points, 2, same=True)
    assert found.distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]
    assert found.places.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_manifold_metrics_of_points_on_a_line():
    """Real images at 0..19 have balls of radius 5 at the ends and 3 inside (k = 5).

    Ten samples lie at 4.5 and ten at 100: half are precise, and the balls of the crowd at 4.5 have radius 0.
    """
    real = features_of(torch.arange(20.0)[:, None])
    samples = features_of(torch.tensor([4.5] * 10 + [100.0] * 10)[:, None])
    assert computed(PrecisionRecall(), samples, real) == {"precision": 0.5, "recall": 0.0}
    # strictly within: 4.5 is in the balls of 0 (radius 5), 1 (4) and 2..7 (3): eight, and 10 * 8 / (5 * 20) = 0.8
    assert computed(DensityCoverage(), samples, real) == {
        "density": pytest.approx(0.8),
        "coverage": pytest.approx(8 / 20),
    }


def test_balls_are_counted_in_parts_that_do_not_grow_with_the_sets(monkeypatch):
    real, samples = torch.arange(20.0)[:, None], torch.arange(0.5, 30, 2)[:, None]
    whole = _hits(samples, real, torch.full((20,), 2.0), closed=True)
    parts, distances = [], torch.cdist
    monkeypatch.setattr("cgan.metrics.manifold.PART_BYTES", 4 * 20 * 4)
    monkeypatch.setattr(torch, "cdist", lambda some, keys: parts.append(len(some)) or distances(some, keys))
    in_parts = _hits(samples, real, torch.full((20,), 2.0), closed=True)
    assert parts == [4, 4, 4, 3]
    assert [counts.tolist() for counts in in_parts] == [counts.tolist() for counts in whole]
    assert whole[0].tolist() == [3, *[4] * 8, 3, 1, 0, 0, 0, 0]


def test_recall_per_class_of_a_lost_a_starved_and_a_whole_class():
    """Balls reach to the 5th neighbour: 0..19 cover all, twelve samples at 4 and 5 only 4 and 5, those at 100 none."""
    line, few, far = torch.arange(20.0), torch.tensor([4.0, 5.0]).repeat(6), torch.full((8,), 100.0)
    reference = features_of(line.repeat(3)[:, None], torch.arange(3).repeat_interleave(20))
    points, sizes = torch.cat([line, few, far]), torch.tensor([20, 12, 8])
    samples = features_of(points[:, None], torch.arange(3).repeat_interleave(sizes))
    # twelve of twenty at even distances: 0, 1, 3, 5, 6, 8, ...: of 4 and 5 only 5 is among them
    assert ClassRecall().compute(samples, reference) == {"class_recall": [1, pytest.approx(1 / 12), 0]}
    missing = reference.at(reference.labels != 1)
    assert [value != value for value in ClassRecall().compute(samples, missing)["class_recall"]] == [False, True, False]


def test_what_takes_long_is_found_once_for_the_same_real_images(real, monkeypatch):
    train, test, _ = real
    images = RealImages(train, test, 1000)
    first = DensityCoverage()
    first.prepare(images)
    monkeypatch.setattr("cgan.metrics.manifold.nearest", None)  # searching again would fail
    again = DensityCoverage()
    again.prepare(RealImages(train, test, 1000))
    assert torch.equal(again.radii, first.radii)
    with pytest.raises(TypeError):
        again.prepare(RealImages(train, test, 999))


def test_labels_on_a_lopsided_table():
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    samples = features_of(labels=labels, logits=F.one_hot(torch.tensor([0, 0, 2, 1, 1, 1]), 3).double() * 2)
    assert confusion(samples).tolist() == [[2, 0, 1], [0, 1, 0], [0, 2, 0]]
    assert LabelAgreement().compute(samples, samples) == {"label_agreement": 0.5}
    assert ClassAgreement().compute(samples, samples) == {
        "label_agreement_worst": 0,
        "class_agreement": [pytest.approx(2 / 3), 1, 0],
    }
    e = torch.e**2
    assert confidence(samples).tolist() == pytest.approx(
        [e / (e + 2)] * 2 + [1 / (e + 2), e / (e + 2)] + [1 / (e + 2)] * 2
    )


def test_variance_ratio_of_known_spreads():
    labels = torch.tensor([0, 0, 1, 1])
    samples = features_of(torch.tensor([[0.0], [2.0], [0.0], [9.0]]), labels)
    reference = features_of(torch.tensor([[0.0], [4.0], [0.0], [3.0]]), labels)
    assert computed(VarianceRatio(), samples, reference) == {
        "variance_ratio": (1 / 4 + 9) / 2,
        "variance_ratio_min": 1 / 4,
    }


def test_copies_are_found_among_test_images(real):
    train, test, _ = real
    half = torch.cat([train.images[evenly(4000, 500)], test.images[evenly(1000, 500)]])
    nearly = half.clone()
    nearly[:500, 0, 0, 0] = 1  # a copy but for one pixel
    metric = Memorised()
    metric.prepare(RealImages(train, test, 1000))
    assert metric.of_real(RealImages(train, test, 1000)) == metric.compute(test, train)
    assert computed(ExactCopies(), features_of(images=half), train) == {"exact_copies": 0.5}
    assert computed(ExactCopies(), features_of(images=nearly), train) == {"exact_copies": 0}
    assert metric.compute(features_of(images=nearly), train)["memorised"] == pytest.approx(0.505, abs=0.005)
    assert metric.compute(test, train)["memorised"] == pytest.approx(0.01, abs=0.001)


def test_copies_are_found_where_the_data_hold_copies_themselves(real):
    """Of the test images 3 % are training images, and 3 % are twins: the nearest hundredth is at a distance of 0."""
    train, test, _ = real
    images = test.images.clone()
    images[:30], images[30:60] = train.images[::100][:30], test.images[[999] * 30]
    some = RealImages(train, test._replace(images=images), 1000)
    memorised, twins = Memorised(), NearDuplicates()
    memorised.prepare(some)
    assert memorised.compute(train.spread(1000), train) == {"memorised": 1}
    assert memorised.of_real(some) == {"memorised": 0.03}
    twins.prepare(RealImages(some.test, train, 1000))
    assert twins.compute(test._replace(images=test.images[[5] * 1000]), train) == {"near_duplicates": 1}
    assert twins.compute(some.test, train)["near_duplicates"] == pytest.approx(0.031)


def test_copies_are_counted_in_every_evaluation_where_few_images_are_trained_on(real, composed, caplog):
    train, test, _ = real
    found = {name: instantiate(of) for name, of in composed("train", "experiment=folder").metrics.items()}
    found = {name: found[name] for name in ("fid", "memorised", "near_duplicates")}
    assert set(Suite(DigitExtractor(), found, RealImages(train, test, 1000)).real.values) == set(found)
    with pytest.raises(CganError, match=r"metrics\.near_duplicates\.most=1: expected"):
        NearDuplicates(most=1)
    assert Memorised(most=4000).missing(DigitExtractor(), test.labels, train.labels) is None
    twenty = Features(*(part[torch.arange(20_001) % 4000] for part in train))
    caplog.set_level("INFO")
    assert set(Suite(DigitExtractor(), found, RealImages(twenty, test, 1000)).real.values) == {"fid"}
    assert "memorised (needs at most 20,000 reference images, found 20,001)" in caplog.text


def test_copies_are_of_training_images_whichever_split_is_the_reference(real):
    train, test, _ = real
    memorising = train.spread(1000)
    turned = RealImages(test, train, 1000, split="test")
    for metric, staged, fair in ((Memorised(), 1, 0.01), (ExactCopies(), 1, 0)):
        metric.prepare(turned)
        (value,) = metric.compute(memorising, test).values()
        (own,) = metric.of_real(turned).values()
        assert (value, own) == (staged, pytest.approx(fair, abs=0.001))


def test_more_samples_than_real_images_are_no_nearer_to_one_another(real):
    train, test, _ = real
    few = RealImages(test.spread(200), train, 4000)
    for metric in (NearDuplicates(), DensityCoverage(), PrecisionRecall()):
        metric.prepare(few)
        assert metric.compute(train, few.reference) == metric.compute(train.spread(200), few.reference)


def test_a_class_of_equal_images_has_no_ratio_of_variances():
    labels = torch.tensor([0, 0, 1, 1])
    samples = features_of(torch.tensor([[0.0], [2.0], [0.0], [9.0]]), labels)
    reference = features_of(torch.tensor([[4.0], [4.0], [0.0], [3.0]]), labels)
    assert computed(VarianceRatio(), samples, reference) == {"variance_ratio": 9, "variance_ratio_min": 9}
    assert computed(VarianceRatio(), samples, features_of(torch.ones(4, 1), labels)) == {}


class Undefined(Metric):
    values = (
        Description("undefined", "Undefined"),
        Description("by_class", "By class", per_class=True),
        Description("one", "One"),
    )

    def compute(self, samples: Features, reference: Features) -> dict:
        return {"undefined": math.nan, "by_class": [1.0, math.inf] * 5, "one": 1.0}


def test_a_value_that_is_no_number_is_left_out_and_named(real, caplog):
    caplog.set_level("INFO")
    train, test, extractor = real
    suite = Suite(extractor, {"mine": Undefined()}, RealImages(train, test, 1000))
    measured = suite.measure(test)
    assert (measured.values, measured.class_values) == ({"one": 1.0}, {"by_class": [1.0, None] * 5})
    assert "Left out: undefined (is nan here)" in caplog.text


@pytest.mark.parametrize(
    ("computed", "message"),
    [
        ({"own": torch.tensor(0.5)}, "Fixed computed own as Tensor: expected a float, float(...) makes one"),
        ({"each": [None]}, "Fixed computed each as NoneType: expected a float"),
        ({"each": [0.5, 0.7]}, "Fixed computed each of 2 classes: expected one number for each of 1"),
        ({"own": [0.5, 0.7]}, "Fixed computed own as list: a list needs per_class=True in its Description"),
        ({"onw": 0.5}, "Fixed computed onw, which its `values` do not describe; they have own, each"),
    ],
)
def test_what_a_metric_must_not_compute_is_named(computed, message):
    class Fixed(Metric):
        values = (Description("own", "Own"), Description("each", "Each", per_class=True))

        def compute(self, samples: Features, reference: Features) -> dict:
            return computed

    assert checked(Fixed(), {"own": np.float64(0.5)}, num_classes=1) == {"own": 0.5}
    some = features_of(torch.zeros(3, 1))
    with pytest.raises(CganError, match=re.escape(message)):
        Suite(DigitExtractor(), {"own": Fixed()}, RealImages(some, some, 3)).measure(some)


def test_a_direction_is_one_of_five():
    with pytest.raises(CganError, match="direction of the value own=up: expected one of lower, higher, near, at most "):
        Description("own", "Own", direction="up")


def test_what_is_too_few_is_named(real):
    train, test, extractor = real
    labels = test.labels
    assert KernelDistance().missing(extractor, labels, labels[:300]) == "needs 1,000 reference images, found 300"
    assert KernelDistance().missing(extractor, labels[:9], labels, "held-out images") == (
        "needs 1,000 held-out images, found 9"
    )
    assert KernelDistance().missing(extractor, labels, train.labels) is None


def test_students_know_classes_that_no_test_image_shows(monkeypatch):
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 1)
    images, labels = torch.randint(0, 256, (256, 1, 8, 8), dtype=torch.uint8), torch.arange(256) % 5
    scores = classification_accuracy(images, labels, images[:4], labels[:4], seeds=(0,))
    assert len(scores) == 1


def test_features_hold_no_graph():
    class Linear(Extractor):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            values = self.layer(images.flatten(1).float())
            return values, values

    found = extract(Linear(), torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.long))
    assert not found.features.requires_grad


def test_a_collapse_lowers_recall_and_coverage_and_leaves_precision(real):
    train, test, _ = real
    few = collapsed(test)
    whole, narrow = (
        computed(PrecisionRecall(), samples, train) | computed(DensityCoverage(), samples, train)
        for samples in (test, few)
    )
    assert narrow["precision"] > whole["precision"] - 0.1
    assert narrow["recall"] < 0.1 < 0.8 < whole["recall"]
    assert narrow["coverage"] < 0.3 < 0.9 < whole["coverage"]
    assert computed(NearDuplicates(), few, train)["near_duplicates"] == 1
    assert computed(NearDuplicates(), test, train)["near_duplicates"] < 0.03
    assert (
        computed(VarianceRatio(), few, train)["variance_ratio"]
        < 0.8
        < computed(VarianceRatio(), test, train)["variance_ratio"]
    )


def test_wrong_labels_leave_fid_and_ruin_intra_class_fid(real):
    train, test, _ = real
    shuffled = test._replace(labels=(test.labels + 1) % 10)
    assert frechet_distance(shuffled, train) == frechet_distance(test, train)
    right, wrong = computed(IntraClassDistance(), test, train), computed(IntraClassDistance(), shuffled, train)
    assert wrong["intra_fid_mean"] > 20 * right["intra_fid_mean"]
    by_class = class_distances(test, train)
    assert len(by_class) == 10
    assert max(by_class) == right["intra_fid_worst"]
    assert by_class[3] == pytest.approx(frechet_distance(test.of_class(3), train.of_class(3)))


def every_metric() -> dict[str, Metric]:
    return instantiate(compose("evaluate", ["metrics=all"]).metrics, _convert_="all")


def test_held_out_real_images_have_the_values_of_real_images(real, monkeypatch):
    monkeypatch.setattr("cgan.metrics.cas.STEPS", 8)
    train, test, extractor = real
    suite = Suite(extractor, every_metric(), RealImages(train, test, 1000))
    assert suite.measure(test) == suite.real
    assert set(every_metric()) - set(suite.metrics) == {"inception_score"}
    assert list(suite.real.values)[:3] == ["fid", "kid", "kid_deviation"]
    assert list(suite.real.class_values) == ["class_fid", "class_agreement", "class_recall"]
    assert [len(values) for values in suite.real.class_values.values()] == [10, 10, 10]
    assert set(suite.descriptions) == {*suite.real.values, *suite.real.class_values}


def test_more_samples_than_held_out_images_leave_real_images_their_own_number(real):
    """As in the published protocol: 50,000 samples against the training split, beside 10,000 test images."""
    train, test, extractor = real
    chosen = {"fid": FrechetDistance(), "coverage": DensityCoverage(), "memorised": Memorised()}
    many, few = (Suite(extractor, chosen, RealImages(train, test.spread(300), n)) for n in (4000, 300))
    assert many.real == few.real
    values = many.measure(train).values
    assert (values["fid"], values["coverage"]) == (pytest.approx(0, abs=1e-6), 1)
    assert many.protocol("mnist5k", 0, "ema").tag("fid") == "fid_digits_4k"


def test_every_value_is_described_for_people_once():
    names = [entry.name for metric in every_metric().values() for entry in metric.values]
    assert len(names) == len(set(names))
    titles = [describe(name).title for name in names]
    assert len(titles) == len(set(titles))
    for name in names:
        about = describe(name)
        assert about.sentence.endswith("."), name
        assert about.advice or "deviation" in name, name
        assert (about.target is not None) == (about.direction == "near"), name
    assert describe("kid").needs == "1,000 samples"
    assert describe("label_agreement").advice == "higher is better"


def test_numbers_keep_all_digits_before_the_point():
    numbers = (1000.0, 12345.6, 999.9, 0.02561, -0.5)
    assert [short(value) for value in numbers] == ["1,000", "12,346", "1,000", "0.0256", "-0.5"]
    assert [number(value) for value in (1000.0, 10000.0, 0.025614, None)] == ["1,000", "10,000", "0.02561", "-"]
    assert beside_real("modes", 1000.0, 999.0) == "Modes 1,000 (real images 999)"
    assert str(Summary("light", "mnist", distance=0.2254, real_distance=1000)).endswith(
        beside_real("fid", 0.2254, 1000).removeprefix("Fréchet ")
    ), "one rounding everywhere"


def test_what_cannot_be_computed_is_left_out_in_one_line(real, caplog):
    train, test, extractor = real
    caplog.set_level("INFO")
    suite = Suite(extractor, every_metric(), RealImages(train, test, 15))
    left_out = set(every_metric()) - set(suite.metrics)
    assert left_out == {"kid", "inception_score", "class_recall"}
    (line,) = [record.message for record in caplog.records]
    assert "kid (needs 1,000 samples, found 15)" in line
    assert "class_recall (needs 6 of each class, no class has so many)" in line
    assert "intra_fid of 5 classes, such as 1 (needs 2 images of it)" in line
    assert "inception_score (needs Inception features)" in line
    assert set(suite.measure(test.spread(15)).values) == set(suite.real.values)
    caplog.clear()
    of_one_class = test.at(torch.arange(15))
    assert "label_agreement_worst" not in suite.measure(of_one_class).values
    assert "class_agreement of 9 classes, such as 1 (needs 1 images of it)" in caplog.text
    with pytest.raises(CganError, match="none of those chosen can be computed"):
        Suite(extractor, {"kid": KernelDistance()}, RealImages(train, test, 15))


def test_a_metric_of_ones_own_is_described_and_computed(real):
    class Ink(Metric):
        values = (Description("ink", "Ink", "Mean grey level.", "near", target=33.0),)

        def compute(self, samples, reference):
            return {"ink": float(samples.images.float().mean())}

    class Fake(Ink):
        """A second metric with the same value."""

    train, test, extractor = real
    suite = Suite(extractor, {"mine": Ink()}, RealImages(train, test, 1000))
    assert suite.measure(test).values == {"ink": pytest.approx(float(test.images.float().mean()))}
    assert describe("ink").advice == "near 33 is best"
    with pytest.raises(CganError, match="two of mine, other have a value called ink; leave one out"):
        Suite(extractor, {"mine": Ink(), "other": Fake()}, RealImages(train, test, 1000))
    assert Suite(extractor, {"other": Fake()}, RealImages(train, test, 1000)).metrics.keys() == {"other"}


def test_features_that_misread_real_images_are_refused(real):
    train, test, extractor = real
    transposed = extract(extractor, test.images.transpose(2, 3), test.labels)
    with pytest.raises(
        CganError, match=r"read only \d+% of the held-out real images rightly; .*inverted or transposed"
    ):
        Suite(extractor, {"fid": FrechetDistance()}, RealImages(train, transposed, 1000))


def test_the_protocol_names_all_that_must_be_shared(real):
    train, test, extractor = real
    suite = Suite(extractor, {"fid": FrechetDistance()}, RealImages(train, test, 150, "test"))
    protocol = suite.protocol("mnist5k", 3, "raw")
    assert (protocol.features, protocol.features_hash) == ("digits", "18d99f18fc3f0368")
    assert protocol.tag("fid") == "fid_digits_150_test"
    assert replace(protocol, n=10000, reference="train").tag("fid") == "fid_digits_10k"


def test_a_part_of_a_sorted_split_has_all_classes(real):
    _, test, _ = real
    assert test.spread(50).labels.bincount().tolist() == [5] * 10
    assert torch.equal(test.spread(1000).images, test.images)


def test_batch_size_changes_no_value(real):
    train, test, extractor = real
    images, labels = Mnist5k(100).load("test")
    chosen = {"fid": FrechetDistance(), "precision_recall": PrecisionRecall(), "agreement": LabelAgreement()}
    suite = Suite(extractor, chosen, RealImages(train, test, 1000))
    odd = suite.measure(extract(extractor, images, labels, batch_size=77))
    assert odd.values == pytest.approx(suite.real.values, rel=1e-4)


def test_one_small_class_leaves_the_numbers_of_the_others(real):
    train, test, extractor = real
    few = test.at((test.labels != 4) | (test.labels == 4).cumsum(0).le(5))
    suite = Suite(extractor, {"recall": ClassRecall(), "intra": IntraClassDistance()}, RealImages(train, few, 905))
    found = suite.measure(few)
    assert found.class_values["class_recall"][4] is None
    assert found.class_values["class_recall"][3] > 0.7
    assert found.class_values["class_fid"][4] > found.class_values["class_fid"][3]
    none = suite.measure(test.at(test.labels != 4).at(torch.arange(900).repeat(2)[:905]))
    assert none.class_values["class_fid"][4] is None
    assert "intra_fid_mean" not in none.values


def test_images_are_chosen_in_class_shares_whatever_their_order():
    cyclic, sorted_ = torch.arange(2000) % 4, torch.arange(2000) // 500
    for labels in (cyclic, sorted_, torch.tensor([0, 1] * 160 + [1] * 1680)):
        counts = labels.bincount(minlength=4)
        assert labels[in_class_shares(labels, 500)].bincount(minlength=4).tolist() == (counts // 4).tolist()
    assert in_class_shares(sorted_, 4).tolist() == evenly(2000, 4).tolist()


def test_real_images_have_the_class_shares_of_the_reference_where_the_held_out_ones_do_not(real, caplog):
    train, test, extractor = real
    caplog.set_level("INFO")
    rare = torch.cat([(train.labels == 0).nonzero()[:360, 0], (train.labels == 1).nonzero()[:40, 0]])
    balanced = test.at(test.labels < 2)
    pair = RealImages(train.at(rare), balanced, 100)
    assert pair.samples.labels.bincount().tolist() == [90, 10]
    assert "in the class shares of the reference" in caplog.text
    assert RealImages(train.at(rare), balanced, 200).samples.labels.bincount().tolist() == [100, 20], "all there are"
    distance = Suite(extractor, {"fid": FrechetDistance()}, pair).real.values["fid"]
    assert distance < 0.3 * frechet_distance(balanced, train.at(rare))


def test_whoever_knows_one_class_alone_has_no_accuracy_score(real, caplog):
    train, test, extractor = real
    caplog.set_level("INFO")
    one = [some.at(some.labels == 3) for some in (train, test)]
    with pytest.raises(CganError, match="none of those chosen"):
        Suite(extractor, {"cas": ClassificationAccuracy()}, RealImages(*one, 100))
    assert "cas (needs two classes)" in caplog.text


def test_the_accuracy_of_a_classifier_is_that_on_these_images(real):
    train, test, extractor = real
    wrong = test._replace(labels=torch.where(torch.arange(1000) < 250, (test.labels + 1) % 10, test.labels))
    suite = Suite(extractor, {"agreement": LabelAgreement()}, RealImages(train, wrong, 1000))
    assert suite.accuracy == pytest.approx(0.75, abs=0.01)
    assert "reads 7" in suite.descriptions["label_agreement"].sentence
