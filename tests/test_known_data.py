"""Known data sets, read from small files in their own format by their real configurations."""

import bz2
import gzip
import hashlib
import io
import os
import pickle
import re
import shutil
import socket
import struct
import time
import zipfile
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import torchvision
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from PIL import Image

from cgan.data.build import build_source
from cgan.data.hub import HubTree
from cgan.data.known import TorchvisionSource
from cgan.errors import CganError

SPLITS = ("train", "test")
COUNTS = {"train": 5, "test": 3}


@pytest.fixture
def source(composed, tmp_path):
    """Build the source of ``data=NAME`` with its files at ``tmp_path``."""
    return lambda name, **changes: build(composed("train", f"data={name}", f"data.root={tmp_path}"), **changes)


def build(cfg, **changes):
    try:
        return instantiate(cfg.data.source, _convert_="all", **changes)
    except InstantiationException as error:  # Hydra's, around ours
        raise error.__cause__ from None


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


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", "kmnist", "qmnist", "emnist_letters", "emnist_balanced", "emnist_digits"]
)
def test_files_put_where_the_error_says_are_read(source, name):
    known = source(name)
    with pytest.raises(CganError) as caught:
        known.load("train")
    folder, file = re.findall(r"under (\S+): .* there \((\S+) and its three companions\)", str(caught.value))[0]
    labels = np.arange(1, 4, dtype="u1") if name != "qmnist" else np.full((3, 8), 2, dtype=">i4")
    for part in ("train", "t10k" if "t10k" in known.stems[1] else "test"):
        images = Path(folder) / part.join(file.rsplit("train", 1))
        write(images, gzip.compress(idx(pixels(3, 28, 28))))
        stem = images.name.removesuffix("images-idx3-ubyte.gz")
        write(images.with_name(f"{stem}{known.labels}.gz"), gzip.compress(idx(labels, 0x0C if name == "qmnist" else 8)))
    known.prepare()
    assert len(known.load("train").labels) == len(known.load("test").labels) == 3
    with pytest.raises(CganError) as caught:
        source("cifar10").load("train")
    instead = re.findall(r"download with (data=\w+)", str(caught.value))
    assert instead == ["data=mnist5k"]


def test_files_of_usps_and_svhn_put_where_the_error_says_are_read(source, monkeypatch):
    from scipy.io import savemat

    def places(name: str) -> list[Path]:
        with pytest.raises(CganError) as caught:
            source(name).load("train")
        folder, *files = re.findall(r"under (\S+): .* there \((\S+) and (\S+)\)", str(caught.value))[0]
        return [Path(folder) / file for file in files]

    for place in places("usps"):
        write(place, bz2.compress(("8 " + " ".join(f"{k}:0.5" for k in range(1, 257)) + "\n").encode()))
    assert source("usps").load("train").labels.tolist() == source("usps").load("test").labels.tolist() == [7]
    for split, place in zip(SPLITS, places("svhn"), strict=True):
        savemat(place, {"X": pixels(32, 32, 3, 2), "y": np.array([[1], [10]], dtype="u1")})
        checksum = hashlib.md5(place.read_bytes()).hexdigest()
        monkeypatch.setitem(torchvision.datasets.SVHN.split_list, split, ["", place.name, checksum])
        assert source("svhn").load(split).labels.tolist() == [1, 0]


def test_a_damaged_file_is_named(source, tmp_path):
    write(tmp_path / "MNIST/raw/train-images-idx3-ubyte", idx(pixels(5, 28, 28))[:-1])
    with pytest.raises(
        CganError, match=r"train-images-idx3-ubyte is damaged .*promises \[5, 28, 28\], and 3,919 values"
    ):
        source("mnist").load("train")


@pytest.mark.parametrize("typed", ["data=mnist data.root=null", "data=folder data.root=5", "data=hub data.name=[a]"])
def test_a_place_that_is_no_text_is_named(composed, typed):
    with pytest.raises(CganError, match=r"data\.\w+=.*: expected a path or a name"):
        build_source(composed("train", *typed.split()).data)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["data=mnist", "data.source.root=5"], "data.source.root=5: expected a path"),
        (["data=kmnist", "data.source.class_names=3"], "data.source.class_names=3: expected a list of names"),
        (["data=stacked_mnist", "data.source.digits=mnist"], "data.source.digits=mnist: expected a source"),
    ],
)
def test_a_key_of_a_source_is_of_its_kind(composed, typed, expected):
    with pytest.raises(CganError, match=f"^{expected}$"):
        build_source(composed("train", *typed).data)


def png(level: int) -> bytes:
    stream = io.BytesIO()
    Image.new("1", (105, 105), level).save(stream, "PNG")
    return stream.getvalue()


def jpeg(level: int) -> bytes:
    """A picture of CelebA's size: a square in the middle, grey around it."""
    image = Image.new("RGB", (178, 218), (128, 128, 128))
    image.paste((level, level, 0), (0, 20, 178, 198))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95)
    return stream.getvalue()


@pytest.fixture(params=["folder", "zip"])
def celeba(request, tmp_path):
    """Six faces: four to train on, one of the validation split, one to test with."""
    rows = [("1", "-1", 0), ("-1", "1", 0), ("1", "1", 1), ("1", "1", 0), ("-1", "1", 2), ("-1", "-1", 0)]
    files = {f"00000{number}.jpg": jpeg(40 * number) for number in range(1, 7)}
    for name, content in files.items():
        write(tmp_path / "celeba/img_align_celeba" / name, content)
    if request.param == "zip":
        shutil.make_archive(str(tmp_path / "celeba/img_align_celeba"), "zip", tmp_path / "celeba", "img_align_celeba")
        shutil.rmtree(tmp_path / "celeba/img_align_celeba")
    table = "".join(f"{name}  {smiling} -1  {male}\n" for name, (smiling, male, _) in zip(files, rows, strict=True))
    write(tmp_path / "celeba/list_attr_celeba.txt", f"6\nSmiling Bald Male\n{table}".encode())
    partition = "".join(f"{name} {part}\n" for name, (_, _, part) in zip(files, rows, strict=True))
    write(tmp_path / "celeba/list_eval_partition.txt", partition.encode())


@pytest.mark.usefixtures("celeba")
def test_classes_of_celeba_are_combinations_of_attributes(source):
    faces = source("celeba", size=16, cache="none")
    assert faces.spec.class_names == ("not_Smiling+not_Male", "not_Smiling+Male", "Smiling+not_Male", "Smiling+Male")
    assert faces.spec.factors == (2, 2)
    train, test = faces.load("train"), faces.load("test")
    assert train.labels.tolist() == [0, 1, 2, 3]
    assert test.labels.tolist() == [1]
    assert train.images.shape == (4, 3, 16, 16)
    assert (train.images[1].float().mean((1, 2)) - torch.tensor([80.0, 80.0, 0.0])).abs().max() < 3  # no grey rim
    assert "1 to test with (the official split)" in faces.report[0]
    assert "1 pictures of the validation split" in faces.report[2]
    with pytest.raises(CganError, match=r"data.attributes: 'Smilling' is none of Smiling, Bald, Male"):
        source("celeba", attributes=["Smilling"], cache="none")
    assert source("celeba", attributes=[], cache="none").spec.num_classes == 1
    assert source("celeba", attributes="Male", cache="none").spec.class_names == ("not_Male", "Male")


def test_faces_put_where_the_error_says_are_read(source, tmp_path):
    with pytest.raises(CganError, match=r"no .*img_align_celeba.zip. Place CelebA's") as caught:
        source("celeba")
    place, *names = re.findall(r"no (\S+)\. Place CelebA's (\S+), (\S+) and (\S+) there", str(caught.value))[0]
    folder = Path(place).parent
    with zipfile.ZipFile(folder / names[0], "w") as archive:
        for number in range(3):
            archive.writestr(f"img_align_celeba/{number}.jpg", jpeg(100))
    (folder / names[1]).write_text("3\nSmiling Male\n0.jpg 1 -1\n1.jpg -1 1\n2.jpg -1 1\n")
    (folder / names[2]).write_text("0.jpg 0\n1.jpg 0\n2.jpg 2\n")
    with pytest.raises(CganError, match=r"=\[Smiling,Male\]: no face to train on is Smiling\+Male; leave one out"):
        source("celeba", cache="none")
    faces = source("celeba", attributes=["Smiling"], size=16, cache="none")
    assert (faces.load("train").labels.tolist(), faces.load("test").labels.tolist()) == ([0, 1], [0])
    with pytest.raises(CganError) as caught:
        source("celeba", attributes=["Smilling"], cache="none")
    for known in str(caught.value).partition("none of ")[2].split(", "):
        assert source("celeba", attributes=[known], cache="none").spec.class_names == (f"not_{known}", known)


def test_omniglot_by_alphabet_and_by_character(source, tmp_path):
    for part, alphabet, characters in (("images_background", "Greek", 2), ("images_evaluation", "Old_Norse", 1)):
        for character in range(1, characters + 1):
            for drawer in range(20):
                path = tmp_path / f"omniglot-py/{part}/{alphabet}/character0{character}/{drawer:02}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("1", (105, 105), drawer % 2).save(path)
    alphabets, characters = source("omniglot", cache="none"), source("omniglot", classes="character", cache="none")
    assert alphabets.spec.class_names == ("Greek", "Old_Norse")
    assert characters.spec.class_names == ("Greek character01", "Greek character02", "Old_Norse character01")
    assert alphabets.load("train").labels.bincount().tolist() == [36, 18]
    assert characters.load("test").labels.bincount().tolist() == [2, 2, 2]
    assert alphabets.load("train").images.shape == (54, 1, 28, 28)
    assert alphabets.load("train").images.unique().tolist() == [0, 255]


def test_characters_put_where_the_error_says_are_read(source, closed_address, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, closed_address)
    for _ in range(2):  # it names one part after the other
        with pytest.raises(CganError, match=r"^Omniglot: no .*, and no download \(.*\)\. Place images_") as caught:
            source("omniglot")
        part = Path(re.findall(r"no (\S+), and", str(caught.value))[0])
        assert f"{part.name}.zip" in str(caught.value)
        for drawer in range(2):
            write(part / part.name[7:] / "character01" / f"{drawer}.png", png(drawer))
    assert source("omniglot", cache="none").spec.class_names == ("background", "evaluation")


@pytest.mark.parametrize("name", ["mnist", "cifar10", "omniglot"])
def test_a_failed_download_leaves_no_empty_folders(source, tmp_path, closed_address, monkeypatch, name):
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, closed_address)
    for own in ("mine/empty", "MNIST"):
        (tmp_path / own).mkdir(parents=True)
    for root in (tmp_path, tmp_path / "new" / "data"):
        with pytest.raises(CganError, match=rf"under {root}|no {root}"):
            source(name, root=str(root)).prepare()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["MNIST", "empty", "mine"]


@pytest.fixture
def hub_folder(tmp_path, monkeypatch):
    """A data set in the hub's own Parquet layout."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = ["cat", "ant", "bee"]
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    for split, labels in (("train", [2, 0, 1, 1, None]), ("validation", [1, 0])):
        pictures = [Image.new("RGB", (20, 12), (10 * (label or 0), 0, 200)) for label in labels]
        rows = datasets.Dataset.from_dict({"picture": pictures, "kind": labels}, features=features)
        rows.to_parquet(str(tmp_path / f"insects/data/{split}-00000-of-00001.parquet"))
    return tmp_path / "insects"


def test_a_class_of_the_hub_that_cannot_be_printed_is_refused(composed, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b\x1b[2J"])})
    rows = {"image": [Image.new("L", (4, 4))] * 4, "label": [0, 1, 0, 1]}
    for split in ("train", "test"):
        place = tmp_path / f"odd/data/{split}-00000-of-00001.parquet"
        datasets.Dataset.from_dict(rows, features=features).to_parquet(str(place))
    with pytest.raises(CganError, match=r"data.name=.*odd: the class 'b\\x1b\[2J' cannot be printed on one line"):
        build(composed("train", "data=hub", f"data.name={tmp_path / 'odd'}", "data.cache=none"))


def test_more_rows_than_any_data_set_has_are_refused(composed, hub_folder, monkeypatch):
    monkeypatch.setattr("cgan.data.hub.MAX_ROWS", 6)
    with pytest.raises(CganError, match=r"data\.name=.*insects: 7 rows, expected at most 6; use a part of them$"):
        build(composed("train", "data=hub", f"data.name={hub_folder}", "data.cache=none"))


def test_a_data_set_of_the_hub_is_read_by_its_columns(composed, hub_folder):
    cfg = composed("train", "data=hub", f"data.name={hub_folder}", "data.cache=none")
    insects = build(cfg)
    assert insects.spec.name == "insects"
    assert insects.spec.class_names == ("ant", "bee", "cat")
    assert insects.spec.img_shape == (3, 12, 20)
    train, test = insects.load("train"), insects.load("test")
    assert train.labels.tolist() == [0, 0, 1, 2]
    assert train.images[:, 0, 0, 0].tolist() == [10, 10, 20, 0]
    assert test.labels.tolist() == [0, 2]
    assert "1 rows without a label" in insects.report[2]
    with pytest.raises(
        CganError, match=r"data.label=sort: .* has the columns picture, kind; name one of them"
    ) as caught:
        build(cfg, label="sort")
    *_, column = re.findall(r"columns (\w+), (\w+);", str(caught.value))[0]
    assert build(cfg, label=column).load("train").labels.tolist() == [0, 0, 1, 2]


def test_a_row_of_the_hub_names_no_file_outside_of_its_data_set(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures" / "own.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "pictures" / "pipe")
    (tmp_path / "pictures" / "link.png").symlink_to(tmp_path / "secret.png")
    paths = [str(tmp_path / name) for name in ("pictures/own.png", "secret.png", "pictures/link.png", "pictures/pipe")]
    rows = datasets.Dataset.from_dict({"picture": [{"bytes": None, "path": path} for path in paths]})
    rows = rows.cast(datasets.Features({"picture": datasets.Image()}))
    tree = HubTree(str(tmp_path / "pictures"), {"train": rows}, "picture")
    assert tree.read("train/0") == (tmp_path / "pictures" / "own.png").read_bytes()
    for row in (1, 2):
        with pytest.raises(OSError, match=r"secret\.png is outside of the data set"):
            tree.read(f"train/{row}")
    with pytest.raises(OSError, match="a pipe or a device"):
        tree.read("train/3")


@pytest.fixture
def closed_address():
    """A port of this computer where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_of_processes_that_miss_the_same_files_one_downloads_at_a_time(tmp_path, monkeypatch):
    busy, seen = [], []

    class Slow(torchvision.datasets.CIFAR10):
        def __init__(self, root, download, train):
            busy.append(root)
            time.sleep(0.02)  # the others try meanwhile
            seen.append((len(busy), download, train))
            busy.pop()

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Slow)
    source = TorchvisionSource("CIFAR10", str(tmp_path / "data"), [3, 32, 32], ["a", "b"])
    threads = [Thread(target=source.prepare) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [(1, True, False)] * 5 + [(1, True, True)] * 5
    assert not list(tmp_path.rglob("*")), "the lock lies elsewhere"


@pytest.fixture
def no_network(closed_address, monkeypatch):
    """The hub's address is a closed port."""
    pytest.importorskip("datasets")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", closed_address)
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", closed_address)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["/dev/null/nothing", "me/nothing"])
def test_a_data_set_that_is_not_there_is_one_clear_line(composed, caplog, name):
    caplog.set_level("INFO")
    with pytest.raises(CganError, match=rf"^data.name={name}: cannot load it .*127.0.0.1.* reached.*USER/NAME"):
        build(composed("train", "data=hub", f"data.name={name}"))
    assert "Retrying" not in caplog.text


@pytest.mark.usefixtures("no_network")
def test_without_a_network_what_was_loaded_before_is_read(composed, hub_folder, caplog):
    build(composed("train", "data=hub", f"data.name={hub_folder}", "data.cache=none"))
    (hub_folder.parent / "cache" / "insects").rename(hub_folder.parent / "cache" / "me___insects")
    caplog.set_level("INFO")
    insects = build(composed("train", "data=hub", "data.name=me/insects", "data.cache=none"))
    assert insects.load("train").labels.tolist() == [0, 0, 1, 2]
    assert "me/insects is the newest copy in the cache" in caplog.text
