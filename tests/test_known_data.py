"""Known data sets, read from small files in their own format by their real configurations."""

import bz2
import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
import torchvision
from hydra.utils import instantiate

from cgan.errors import CganError

SPLITS = ("train", "test")
COUNTS = {"train": 5, "test": 3}


@pytest.fixture
def source(composed, tmp_path):
    """Build the source of ``data=NAME`` with its files at ``tmp_path``."""
    return lambda name, **changes: instantiate(
        composed("train", f"data={name}", f"data.root={tmp_path}").data.source, _convert_="all", **changes
    )


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[0]).integers(0, 256, shape, dtype=np.uint8)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


def write(path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.md5(content).hexdigest()


@pytest.mark.parametrize(
    ("place", "packed"),
    [
        ("MNIST/raw/{}-images-idx3-ubyte", False),
        ("MNIST/raw/{}-images-idx3-ubyte.gz", True),
        ("{}-images.idx3-ubyte", False),
        ("{}-images-idx3-ubyte.gz", True),
        ("{0}-images.idx3-ubyte/{0}-images.idx3-ubyte", False),
    ],
)
def test_mnist_is_found_under_its_usual_names(source, tmp_path, place, packed):
    for stem, count in (("train", 5), ("t10k", 3)):
        for kind, content in (("images-idx3", pixels(count, 28, 28)), ("labels-idx1", np.arange(count, dtype="u1"))):
            path = place.format(stem).replace("images-idx3", kind).replace("images.idx3", kind.replace("-", "."))
            write(tmp_path / path, gzip.compress(idx(content)) if packed else idx(content))
    mnist = source("mnist")
    mnist.prepare()
    for split, count in COUNTS.items():
        images, labels = mnist.load(split)
        assert torch.equal(images, torch.from_numpy(pixels(count, 28, 28))[:, None])
        assert labels.tolist() == list(range(count))


@pytest.mark.parametrize(("part", "first", "last"), [("letters", 1, 26), ("balanced", 0, 46), ("digits", 0, 9)])
def test_emnist_stands_upright_and_its_labels_start_at_0(source, tmp_path, part, first, last):
    labels = np.array([first, last], dtype="u1")
    for split in SPLITS:
        stem = f"EMNIST/raw/emnist-{part}-{split}"
        write(tmp_path / f"{stem}-images-idx3-ubyte", idx(pixels(2, 28, 28)))
        write(tmp_path / f"{stem}-labels-idx1-ubyte", idx(labels))
    emnist = source(f"emnist_{part}")
    emnist.prepare()
    images, found = emnist.load("test")
    assert emnist.spec.name == f"emnist_{part}"
    assert emnist.spec.num_classes == last - first + 1
    assert found.tolist() == [0, last - first]
    assert images[1, 0, 20, 3] == pixels(2, 28, 28)[1, 3, 20]


def test_class_names_of_emnist_are_in_the_order_of_its_labels(source):
    official = torchvision.datasets.EMNIST.classes_split_dict
    assert list(source("emnist_letters").spec.class_names) == official["letters"][1:]
    assert list(source("emnist_balanced").spec.class_names) == official["balanced"]


def test_the_class_of_qmnist_is_its_first_column(source, tmp_path):
    labels = np.zeros((3, 8), dtype=">i4")
    labels[:, 0], labels[:, 1] = [7, 0, 9], 4
    for split in SPLITS:
        write(tmp_path / f"QMNIST/raw/qmnist-{split}-images-idx3-ubyte.gz", gzip.compress(idx(pixels(3, 28, 28))))
        write(tmp_path / f"QMNIST/raw/qmnist-{split}-labels-idx2-int.gz", gzip.compress(idx(labels, 0x0C)))
    qmnist = source("qmnist")
    qmnist.prepare()
    assert qmnist.load("test").labels.tolist() == [7, 0, 9]


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist"])
def test_relatives_of_mnist_have_folders_of_their_own(source, tmp_path, name):
    folder = {"fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}[name]
    for stem, count in (("train", 5), ("t10k", 3)):
        for owner, label in (("MNIST", 1), (folder, 6)):
            write(tmp_path / owner / f"raw/{stem}-images-idx3-ubyte", idx(pixels(count, 28, 28)))
            write(tmp_path / owner / f"raw/{stem}-labels-idx1-ubyte", idx(np.full(count, label, dtype="u1")))
    assert source(name).load("train").labels.tolist() == [6] * 5


@pytest.mark.parametrize(
    ("name", "folder", "key"), [("cifar10", "10-batches-py", "labels"), ("cifar100", "100-python", "fine_labels")]
)
def test_cifar(source, tmp_path, monkeypatch, name, folder, key):
    dataset = getattr(torchvision.datasets, name.upper())
    rows, labels = pixels(5, 3 * 32 * 32), [9, 0, 3, 3, 8]
    content = pickle.dumps({"data": rows, key: labels, "coarse_labels": [1] * 5})
    place = tmp_path / f"cifar-{folder}"
    monkeypatch.setattr(dataset, "train_list", [("batch", write(place / "batch", content))])
    monkeypatch.setattr(dataset, "test_list", [("batch", write(place / "batch", content))])
    meta = {dataset.meta["key"]: ["a"]}
    monkeypatch.setattr(
        dataset, "meta", dataset.meta | {"md5": write(place / dataset.meta["filename"], pickle.dumps(meta))}
    )
    cifar = source(name)
    cifar.prepare()
    split = cifar.load("train")
    assert split.labels.tolist() == labels
    assert split.images[4, 2, 31, 0] == rows[4, 2 * 1024 + 31 * 32]
    assert len(cifar.spec.class_names) == int(name[5:])


def test_svhn_calls_zero_zero(source, tmp_path, monkeypatch):
    from scipy.io import savemat

    images = pixels(32, 32, 3, 4)
    for split in SPLITS:
        path = tmp_path / f"{split}_32x32.mat"
        savemat(path, {"X": images, "y": np.array([[1], [10], [9], [2]], dtype="u1")})
        entry = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
        monkeypatch.setitem(torchvision.datasets.SVHN.split_list, split, entry)
    split = source("svhn").load("test")
    assert split.labels.tolist() == [1, 0, 9, 2]
    assert split.images[3, 2, 30, 5] == images[30, 5, 2, 3]


def test_stl10(source, tmp_path, monkeypatch):
    images = pixels(2, 3, 96, 96)  # channels, then columns, then rows
    lists = {}
    for split in SPLITS:
        entries = [("X", images.tobytes()), ("y", bytes([1, 10]))]
        lists[split] = [
            [f"{split}_{kind}.bin", write(tmp_path / f"stl10_binary/{split}_{kind}.bin", content)]
            for kind, content in entries
        ]
        monkeypatch.setattr(torchvision.datasets.STL10, f"{split}_list", lists[split])
    stl10 = source("stl10")
    stl10.prepare()
    split = stl10.load("train")
    assert split.labels.tolist() == [0, 9]
    assert split.images[1, 2, 80, 7] == images[1, 2, 7, 80]


def test_usps(source, tmp_path):
    values = [round(-1 + place / 127.5, 4) for place in range(256)]
    line = " ".join(["8", *(f"{place}:{value}" for place, value in enumerate(values, 1))])
    for name in ("usps.bz2", "usps.t.bz2"):
        write(tmp_path / name, bz2.compress(f"{line}\n".encode()))
    split = source("usps").load("test")
    assert split.labels.tolist() == [7]
    assert abs(int(split.images[0, 0, 3, 2]) - 50) <= 1


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("emnist_letters", "EMNIST/raw/emnist-letters-train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py/"),
        ("svhn", "train_32x32.mat"),
        ("usps", "usps.bz2"),
    ],
)
def test_an_error_names_the_place_of_files_put_there_by_hand(source, name, place):
    with pytest.raises(CganError) as caught:
        source(name).load("train")
    assert place in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_named(source, tmp_path):
    write(tmp_path / "MNIST/raw/train-images-idx3-ubyte", idx(pixels(5, 28, 28))[:-1])
    with pytest.raises(
        CganError, match=r"train-images-idx3-ubyte is damaged .*promises \[5, 28, 28\], and 3,919 values"
    ):
        source("mnist").load("train")
