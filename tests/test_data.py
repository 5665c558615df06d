import gzip
import struct

import numpy as np
import pytest
import torch

from cgan.data.batches import Batches
from cgan.data.datamodule import ImageData
from cgan.data.idx import IdxSource
from cgan.data.sources import Mnist5k, Split
from cgan.errors import CganError
from cgan.spec import DataSpec, to_float, to_uint8
from cgan.tasks.build import build_data

DIGITS = list("0123456789")


@pytest.fixture(scope="module")
def split() -> Split:
    labels = torch.arange(50) % 10
    return Split(torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 1, 2, 2).contiguous(), labels)


def served(batches: Batches) -> list[int]:
    """The pixel value of each image in the order served; it is the image's number."""
    return [int(value) for images, _ in batches for value in images[:, :, 0, 0, 0].flatten()]


def make(split, **options):
    return Batches(split, **{"batch_size": 4, "steps_per_batch": 3, "seed": 1, **options})


def test_an_epoch_serves_each_image_at_most_once_and_drops_the_odd_batch(split):
    batches = make(split)
    numbers = served(batches)
    assert len(numbers) == len(set(numbers)) == 48
    assert len(batches) == 4
    shapes = [tuple(images.shape) for images, _ in batches]
    assert shapes == [(3, 4, 1, 2, 2)] * 4


def test_labels_stay_with_their_images(split):
    for images, labels in make(split):
        assert torch.equal(images[:, :, 0, 0, 0].long() % 10, labels)


def test_order_follows_from_seed_and_epoch_alone(split):
    first, again, other = make(split), make(split, steps_per_batch=1), make(split, seed=2)
    epoch_0 = served(first)
    assert served(again) == epoch_0
    assert served(other) != epoch_0
    first.sampler.set_epoch(5)
    epoch_5 = served(first)
    assert epoch_5 != epoch_0
    again.sampler.set_epoch(5)
    assert served(again) == epoch_5


def test_ranks_share_no_image_and_make_up_the_global_batches(split):
    ranks = [make(split, batch_size=4, rank=rank, world_size=3, steps_per_batch=1) for rank in range(3)]
    one = make(split, batch_size=12, steps_per_batch=1)
    for *parts, (whole, _) in zip(*ranks, one, strict=True):
        together = torch.cat([images.flatten() for images, _ in parts])
        assert sorted(together.tolist()) == sorted(whole.flatten().tolist())


def test_a_stored_place_goes_on_where_it_stopped(split):
    batches, resumed = make(split), make(split)
    whole = served(batches)
    serving = iter(batches)
    next(serving)
    next(serving)
    resumed.load_state_dict(batches.state_dict())
    assert served(resumed) == whole[24:]
    assert served(resumed) == whole  # the next epoch is complete


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"batch_size": 3}, "data.batch_size x data.steps_per_batch x devices = 12"),
        ({"steps_per_batch": 1}, "data.batch_size x data.steps_per_batch x devices = 12"),
        ({"seed": 9}, "seed=1"),
        ({"balance": True}, "data.balance=false"),
        ({"balance": True, "seed": 9}, "seed=1 and data.balance=false"),
    ],
)
def test_a_place_within_an_epoch_of_another_order_is_refused_and_at_its_end_is_not(split, changes, advice):
    batches, other, advised = make(split), make(split, **changes), make(split, batch_size=2, steps_per_batch=6)
    serving = iter(batches)
    next(serving)
    with pytest.raises(CganError, match=f"after 12 images; go on with {advice}, or from one of an epoch's end"):
        other.load_state_dict(batches.state_dict())
    advised.load_state_dict(batches.state_dict())  # steps of another size, chunks of the same
    assert served(advised)[:36] == served(make(split))[12:]
    list(serving)
    other.load_state_dict(batches.state_dict())
    assert len(served(other)) >= 48


def uneven() -> Split:
    """24 images, their number in the left pixel, 100 in the right one; classes of 18, 5 and 1."""
    images = torch.full((24, 1, 1, 2), 100, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(24)
    return Split(images, torch.tensor([0] * 18 + [1] * 5 + [2]))


def test_what_is_typed_reaches_the_batches(composed):
    typed = ("data.flip=true", "data.balance=true", "data.device=cpu", "data.batch_size=7", "data.steps_per_batch=3")
    data = build_data(composed("train", "data=mnist5k", "seed=5", *typed))
    assert (data.flip, data.balance, data.device) == (True, True, "cpu")
    assert (data.batch_size, data.steps_per_batch, data.seed) == (7, 3, 5)


def test_balanced_classes_come_equally_often():
    batches = make(uneven(), balance=True)
    epochs = []
    for epoch in range(2):
        batches.sampler.set_epoch(epoch)
        numbers = served(batches)
        labels = [0 if number < 18 else 1 if number < 23 else 2 for number in numbers]
        assert [labels.count(label) for label in range(3)] == [8, 8, 8]
        assert len({number for number in numbers if number < 18}) == 8  # none twice before all were shown
        assert {number for number in numbers if 18 <= number < 23} == {18, 19, 20, 21, 22}
        epochs.append(numbers)
    assert epochs[0] != epochs[1]


def test_half_of_the_images_are_mirrored_anew_in_each_epoch():
    split = uneven()
    plain, flipped = make(split), make(split, flip=True)
    seen = []
    for epoch in range(2):
        plain.sampler.set_epoch(epoch)
        flipped.sampler.set_epoch(epoch)
        pairs = [(a, b, la, lb) for (a, la), (b, lb) in zip(plain, flipped, strict=True)]
        assert all(torch.equal(la, lb) for _, _, la, lb in pairs)
        mirrored = torch.cat([(a != b).any(-1).flatten() for a, b, _, _ in pairs])
        assert all(torch.equal(a.sort(-1).values, b.sort(-1).values) for a, b, _, _ in pairs)
        assert 5 < mirrored.sum() < 19
        seen.append(mirrored)
    assert not torch.equal(*seen)


def test_ranks_share_the_mirror_images_and_a_resumed_epoch_keeps_them():
    split = uneven()

    def images_of(batches: Batches) -> torch.Tensor:
        return torch.cat([images.flatten(0, 1) for images, _ in batches])

    whole = make(split, batch_size=8, steps_per_batch=1, flip=True)
    one = images_of(whole)
    ranks = [images_of(make(split, steps_per_batch=1, flip=True, rank=k, world_size=2)) for k in range(2)]
    assert torch.equal(torch.stack(ranks, 1).flatten(0, 1), one)
    next(iter(whole))
    whole.load_state_dict(whole.state_dict())
    assert torch.equal(images_of(whole), one[8:])


def test_a_batch_larger_than_the_data_is_refused(split):
    with pytest.raises(CganError, match=r"at most the 50 training images in all; lower data\.batch_size"):
        make(split, batch_size=51)
    assert len(served(make(split, batch_size=50))) == 50
    for name, value in (("batch_size", 0), ("batch_size", "abc"), ("steps_per_batch", 1.5)):
        with pytest.raises(CganError, match=f"data.{name}={value}: expected a whole number from 1"):
            ImageData(Mnist5k(), **{name: value})


def test_pixels_survive_the_round_trip_and_are_rounded():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(pixels)), pixels)
    assert to_float(pixels).aminmax() == (torch.tensor(-1.0), torch.tensor(1.0))
    assert to_uint8(torch.tensor([-2.0, 0.0, 0.997, 2.0])).tolist() == [0, 128, 255, 255]


def test_mnist5k_keeps_its_test_digits_apart():
    source = Mnist5k(test_per_class=30)
    train, test = source.load("train"), source.load("test")
    assert train.images.shape == (4700, 1, 28, 28)
    assert test.labels.bincount().tolist() == [30] * 10
    assert train.images.dtype == torch.uint8
    assert train.images.max() == 255
    seen = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in seen for image in test.images)


@pytest.mark.parametrize("count", [0, 500])
def test_mnist5k_refuses_a_split_that_leaves_nothing(count):
    with pytest.raises(CganError, match="1 to 499"):
        Mnist5k(test_per_class=count)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def placed(tmp_path):
    """Real digits in MNIST's own files, placed by hand."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in (("train", "train"), ("t10k", "test")):
        images, labels = Mnist5k(test_per_class=5).load(part)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images.squeeze(1).numpy()))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels.numpy()))
    return tmp_path


def mnist(root) -> IdxSource:
    return IdxSource("MNIST", str(root), [1, 28, 28], DIGITS)


def test_files_placed_by_hand_need_no_network(placed):
    source = mnist(placed)
    source.prepare()
    train, test = source.load("train"), source.load("test")
    assert len(train.labels) == 4950
    assert test.labels.bincount().tolist() == [5] * 10
    assert torch.equal(test.images, Mnist5k(test_per_class=5).load("test").images)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-images-idx3-ubyte", b"\0\0\x08\x03" + b"\0" * 100),
        ("train-images-idx3-ubyte", b""),
        ("train-labels-idx1-ubyte", idx(np.full(4950, 12))),
        ("train-labels-idx1-ubyte", idx(np.zeros(10))),
        ("train-images-idx3-ubyte", idx(np.zeros((4950, 14, 14)))),
    ],
    ids=["cut off", "empty", "label 12", "ten labels", "14x14"],
)
def test_damaged_files_are_one_clear_line_with_the_three_ways_out(placed, name, content):
    (placed / "MNIST" / "raw" / name).write_bytes(content)
    with pytest.raises(CganError) as caught:
        mnist(placed).load("train")
    message = str(caught.value)
    assert "\n" not in message
    for way_out in ("Place the data set's official files", "data.root=", "data=mnist5k"):
        assert way_out in message


def test_an_unreachable_download_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(CganError, match=r"data=mnist5k"):
        mnist(tmp_path).prepare()


def test_a_damaged_archive_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", ["http://127.0.0.1:9/"])
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"not MNIST"))
    with pytest.raises(CganError, match=r"data\.root="):
        mnist(tmp_path).prepare()


def test_a_label_is_named_by_number_or_class_name():
    spec = DataSpec("clothes", (1, 28, 28), ("shirt", "shoe", "hat"))
    assert [spec.label_of(word) for word in (1, "1", "shoe", 2)] == [1, 1, 1, 2]
    with pytest.raises(CganError, match="choose among"):  # a number is no position where names are numbers
        DataSpec("clothes", (1, 28, 28), ("shirt", "shoe", "7")).label_of("1")
    for word in (3, "-1", "coat", 1.5):
        with pytest.raises(CganError, match="choose among"):
            spec.label_of(word)
    assert DataSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    "values", [None, {}, {"name": "x", "img_shape": [1, 2], "class_names": ["a"]}, {"name": 1, "img_shape": [1, 2, 3]}]
)
def test_a_spec_from_a_file_is_checked(values):
    with pytest.raises(CganError, match="data spec"):
        DataSpec.from_dict(values)
