"""Metrics on inputs whose values are known on paper, and on staged failures."""

import pytest
import torch
import torch.nn.functional as F

from cgan.data.sources import Mnist5k
from cgan.metrics.digits import DigitFeatures
from cgan.metrics.distances import (
    class_distances,
    frechet_distance,
    inception_score,
    intra_class_distance,
    kernel_distance,
)
from cgan.metrics.labels import class_agreement, confidence, confusion, label_agreement
from cgan.metrics.looks import Look, evenly, look
from cgan.metrics.manifold import density_coverage, precision_recall
from cgan.metrics.neighbours import nearest
from cgan.metrics.suite import METRICS, Suite
from cgan.metrics.variety import copy_limit, exact_copies, memorised, near_duplicates, variance_ratio


def seen(features=None, labels=None, logits=None, images=None) -> Look:
    """A look with only the columns that a test is about."""
    given = next(column for column in (features, labels, logits, images) if column is not None)
    n = len(given)
    return Look(
        torch.zeros(n, dtype=torch.long) if labels is None else labels,
        torch.zeros(n, 1) if features is None else features,
        torch.zeros(n, 2) if logits is None else logits,
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8) if images is None else images,
    )


@pytest.fixture(scope="module")
def real() -> tuple[Look, Look, DigitFeatures]:
    """4,000 training digits and 1,000 test digits, as the extractor sees them."""
    extractor, source = DigitFeatures(), Mnist5k(100)
    return look(extractor, *source.load("train")), look(extractor, *source.load("test")), extractor


def collapsed(test: Look) -> Look:
    """A staged mode collapse: every image is one of the three first of its class."""
    return test.at(torch.cat([torch.arange(3).repeat(34)[:100] + 100 * label for label in range(10)]))


def test_kernel_distance_of_known_points():
    """In one dimension k(x, y) = (xy + 1)^3; unbiased within, plain mean between (Gretton et al. 2012)."""
    samples = seen(torch.full((1000, 1), 2.0))  # k = 125 within
    reference = seen(torch.full((1000, 1), 1.0))  # k = 8 within, 27 between
    before = torch.get_rng_state()
    values = kernel_distance(samples, reference)
    assert values == {"kid": pytest.approx(125 + 8 - 2 * 27), "kid_deviation": pytest.approx(0, abs=1e-9)}
    assert torch.equal(torch.get_rng_state(), before)


def test_inception_score_of_sure_and_of_unsure_logits():
    sure = seen(logits=40 * F.one_hot(torch.arange(4000) % 4, 4).double())
    assert inception_score(sure, sure)["is"] == pytest.approx(4, rel=0.02)  # as many as there are classes
    unsure = seen(logits=torch.zeros(4000, 4))
    assert inception_score(unsure, unsure) == {"is": pytest.approx(1), "is_deviation": pytest.approx(0, abs=1e-6)}


def test_nearest_neighbours_leave_the_point_itself_out_only_if_asked(monkeypatch):
    monkeypatch.setattr("cgan.metrics.neighbours.PART_BYTES", 4 * 4 * 3)  # three rows at a time
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert nearest(points, points).distances.flatten().tolist() == [0, 0, 0, 0]
    found = nearest(points, points, 2, same=True)
    assert found.distances.tolist() == [[1, 3], [1, 2], [2, 3], [4, 6]]
    assert found.places.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_manifold_metrics_of_points_on_a_line():
    """Real images at 0..19 have balls of radius 5 at the ends and 3 inside (k = 5).

    Ten samples lie at 4.5 and ten at 100: half are precise, and the balls of the crowd at 4.5 have radius 0.
    """
    real = seen(torch.arange(20.0)[:, None])
    samples = seen(torch.tensor([4.5] * 10 + [100.0] * 10)[:, None])
    assert precision_recall(samples, real) == {"precision": 0.5, "recall": 0.0}
    # strictly within: 4.5 is in the balls of 0 (radius 5), 1 (4) and 2..7 (3): eight, and 10 * 8 / (5 * 20) = 0.8
    assert density_coverage(samples, real) == {"density": pytest.approx(0.8), "coverage": pytest.approx(8 / 20)}


def test_labels_on_a_lopsided_table():
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    samples = seen(labels=labels, logits=F.one_hot(torch.tensor([0, 0, 2, 1, 1, 1]), 3).double() * 2)
    assert confusion(samples).tolist() == [[2, 0, 1], [0, 1, 0], [0, 2, 0]]
    assert label_agreement(samples, samples) == {"label_agreement": 0.5}
    assert class_agreement(samples, samples) == {
        "class_agreement/0": pytest.approx(2 / 3),
        "class_agreement/1": 1,
        "class_agreement/2": 0,
    }
    e = torch.e**2
    assert confidence(samples).tolist() == pytest.approx(
        [e / (e + 2)] * 2 + [1 / (e + 2), e / (e + 2)] + [1 / (e + 2)] * 2
    )


def test_variance_ratio_of_known_spreads():
    labels = torch.tensor([0, 0, 1, 1])
    samples = seen(torch.tensor([[0.0], [2.0], [0.0], [9.0]]), labels)
    reference = seen(torch.tensor([[0.0], [4.0], [0.0], [3.0]]), labels)
    assert variance_ratio(samples, reference) == {"variance_ratio": (1 / 4 + 9) / 2, "variance_ratio_least": 1 / 4}


def test_copies_are_found_among_test_images(real):
    train, test, _ = real
    half = torch.cat([train.images[evenly(4000, 500)], test.images[evenly(1000, 500)]])
    nearly = half.clone()
    nearly[:500, 0, 0, 0] = 1  # a copy but for one pixel
    limit = copy_limit(test, train)
    assert exact_copies(seen(images=half), train) == {"exact_copies": 0.5}
    assert exact_copies(seen(images=nearly), train) == {"exact_copies": 0}
    assert memorised(seen(images=nearly), train, limit)["memorised"] == pytest.approx(0.505, abs=0.005)
    assert memorised(test, train, limit)["memorised"] == pytest.approx(0.01, abs=0.001)


def test_a_collapse_lowers_recall_and_coverage_and_leaves_precision(real):
    train, test, _ = real
    few = collapsed(test)
    whole, narrow = (precision_recall(samples, train) | density_coverage(samples, train) for samples in (test, few))
    assert narrow["precision"] > whole["precision"] - 0.1
    assert narrow["recall"] < 0.1 < 0.8 < whole["recall"]
    assert narrow["coverage"] < 0.3 < 0.9 < whole["coverage"]
    assert near_duplicates(few, train)["near_duplicates"] == 1
    assert near_duplicates(test, train)["near_duplicates"] < 0.03
    assert variance_ratio(few, train)["variance_ratio"] < 0.8 < variance_ratio(test, train)["variance_ratio"]


def test_wrong_labels_leave_fid_and_ruin_intra_class_fid(real):
    train, test, _ = real
    shuffled = test._replace(labels=(test.labels + 1) % 10)
    assert frechet_distance(shuffled, train) == frechet_distance(test, train)
    right, wrong = intra_class_distance(test, train), intra_class_distance(shuffled, train)
    assert wrong["intra_fid_mean"] > 20 * right["intra_fid_mean"]
    by_class = class_distances(test, train)
    assert len(by_class) == 10
    assert max(by_class.values()) == right["intra_fid_worst"]
    assert by_class["class_fid/3"] == pytest.approx(frechet_distance(test.of_class(3), train.of_class(3))["fid"])


def test_real_images_in_the_role_of_samples_land_on_the_floor(real):
    train, test, extractor = real
    suite = Suite(train, test, extractor, "all", 1000)
    assert suite.measure(test) == suite.floor
    assert set(suite.metrics) == set(METRICS) - {"inception_score"}
    assert list(suite.floor)[:3] == ["fid_digits_1k", "kid_digits_1k", "kid_deviation_digits_1k"]
    assert list(suite.floor)[-1] == "class_agreement_digits_1k/9"
    assert next(iter(Suite(train, test, extractor, ["fid"], 150, "test").floor)) == "fid_digits_150_test"


def test_a_part_of_a_sorted_split_has_all_classes(real):
    _, test, _ = real
    assert test.spread(50).labels.bincount().tolist() == [5] * 10
    assert torch.equal(test.spread(1000).images, test.images)


def test_batch_size_changes_no_value(real):
    train, test, extractor = real
    images, labels = Mnist5k(100).load("test")
    suite = Suite(train, test, extractor, ["fid", "precision_recall", "label_agreement"], 1000)
    odd = suite.measure(look(extractor, images, labels, batch_size=77))
    assert odd == pytest.approx(suite.floor, rel=1e-4)
