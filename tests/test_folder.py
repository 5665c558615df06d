"""Folders and zips of pictures as people have them: layouts, classes, splits, what is left out, the cache."""

import io
import json
import multiprocessing
import os
import re
import runpy
import shutil
import stat
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from cgan.data.folder import FolderSource
from cgan.errors import CganError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cgan" / "pictures"


def png(level: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    content = io.BytesIO()
    Image.new("L", size, level).save(content, "PNG")
    return content.getvalue()


def tree(root: Path, files: Mapping[str, int | bytes]) -> Path:
    """Write files; a number makes a grey picture of that level."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(content) if isinstance(content, int) else content)
    return root


def zipped(path: Path, files: Mapping[str, int | bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, png(content) if isinstance(content, int) else content)
    return path


def classes(source: FolderSource) -> dict[str, list[int]]:
    """The grey levels of each class, both splits together."""
    found: dict[str, list[int]] = {name: [] for name in source.spec.class_names}
    for split in (source.load("train"), source.load("test")):
        for image, label in zip(split.images, split.labels.tolist(), strict=True):
            found[source.spec.class_names[label]].append(int(image[0, 0, 0]))
    return {name: sorted(levels) for name, levels in found.items()}


def levels(source: FolderSource, split: Any) -> list[int]:
    return source.load(split).images[:, 0, 0, 0].tolist()


def noise() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((32, 32), 99).save(content, "PNG")
    return content.getvalue()


NOISE = noise()
TWO = {"ant/a.png": 1, "ant/b.png": 2, "bee/a.png": 3, "bee/b.png": 4}
SPLIT = {"train/ant/a.png": 1, "train/bee/a.png": 2, "test/ant/b.png": 3, "test/bee/b.png": 4}


@pytest.mark.parametrize("make", [tree, zipped])
@pytest.mark.parametrize("around", ["", "top/", "top/inner/"])
def test_class_folders_are_split_by_seed(tmp_path, make, around):
    root = make(tmp_path / "pics.zip", {f"{around}{name}": level for name, level in TWO.items()})
    source = FolderSource(str(root))
    assert classes(source) == {"ant": [1, 2], "bee": [3, 4]}
    assert source.load("test").labels.tolist() == [0, 1]
    assert "2 to train on, 2 to test with (10% of each class (at least one of two) kept apart" in source.report[0]
    assert source.spec.img_shape == (1, 8, 8)


@pytest.mark.parametrize("make", [tree, zipped])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "VAL"), ("train", "valid")])
def test_splits_are_found_under_their_usual_names(tmp_path, make, train, test):
    files = {name.replace("train", train).replace("test", test): level for name, level in SPLIT.items()}
    source = FolderSource(str(make(tmp_path / "pics.zip", files)))
    assert (levels(source, "train"), levels(source, "test")) == ([1, 2], [3, 4])


def test_val_is_left_out_beside_test(tmp_path):
    source = FolderSource(str(tree(tmp_path / "x", {**SPLIT, "val/ant/c.png": 9})))
    assert levels(source, "test") == [3, 4]
    assert "1 pictures in val/, as there is a test/" in source.report[2]


def test_a_class_of_trains_is_a_class(tmp_path):
    source = FolderSource(
        str(tree(tmp_path / "x", {"car/a.png": 1, "car/b.png": 2, "train/a.png": 3, "train/b.png": 4}))
    )
    assert classes(source) == {"car": [1, 2], "train": [3, 4]}


def test_pictures_alone_are_one_class_named_by_the_folder(tmp_path):
    files = {f"{k}.png": k for k in range(20)}
    source = FolderSource(str(tree(tmp_path / "faces", files)))
    assert source.spec.class_names == ("faces",)
    assert len(source.load("test").labels) == 2
    assert "one class" in source.report[0]
    split = tree(tmp_path / "split", {"train/a.png": 1, "train/b.png": 2, "test/a.png": 3})
    assert levels(FolderSource(str(split)), "test") == [3]


@pytest.mark.parametrize(
    "table",
    [
        "file,class\na.png,cat\nb.png,dog\nsub/c.png,cat\n",
        "\ufeffLabel;Filename\ncat;a.png\ndog;b.png\ncat;sub\\c.png\n",
        "id\tclass\na\tcat\nb\tdog\nsub/c\tcat\n",
    ],
)
def test_a_csv_gives_the_classes(tmp_path, table):
    root = tree(tmp_path / "x", {"a.png": 1, "b.png": 2, "sub/c.png": 3, "d.png": 4, "labels.csv": table.encode()})
    source = FolderSource(str(root))
    assert classes(source) == {"cat": [1, 3], "dog": [2]}
    assert "1 pictures that the table of labels does not name" in source.report[2]


@pytest.mark.parametrize(("more", "expected"), [({}, 5), ({"val/v.png": 9}, 9)])
def test_a_test_split_that_no_table_names_is_none(tmp_path, more, expected):
    table = "file,class\n" + "".join(f"{name},x\n" for name in ("train/a.png", "train/b.png", *more))
    files = {"train/a.png": 5, "train/b.png": 5, "test/c.png": 3, **more, "labels.csv": table.encode()}
    source = FolderSource(str(tree(tmp_path / "x", files)))
    assert levels(source, "test") == [expected]
    assert "1 pictures that the table of labels does not name" in source.report[2]


def test_a_csv_may_name_pictures_of_both_splits(tmp_path):
    table = b"file,class\ntrain/a.png,x\ntrain/b.png,y\ntest/a.png,y\n"
    source = FolderSource(
        str(tree(tmp_path / "x", {"train/a.png": 1, "train/b.png": 2, "test/a.png": 3, "labels.csv": table}))
    )
    assert (levels(source, "train"), source.load("test").labels.tolist()) == ([1, 2], [1])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("a.png,cat\n", "columns file and class"),
        ("file,class\nz.png,cat\n", "1 files that are not there, such as 'z.png'"),
        ("file,class\na.png\n", "in its line 2"),
        ("", "columns file and class"),
        ("file,class\n", "no picture to train on has a class; left out: 1 pictures that the table"),
        ("file,class\na.png,cat\na.png,dog\n", r"one class per file, found 'cat' and 'dog' of a\.png"),
    ],
)
def test_a_csv_of_another_form_is_refused(tmp_path, table, message):
    root = tree(tmp_path / "x", {"a.png": 1, "labels.csv": table.encode()})
    with pytest.raises(CganError, match=message):
        FolderSource(str(root))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([["00000/b.png", 10], ["00000/a.png", 2], ["00001/c.png", 10]], {"2": [1], "10": [2, 3]}),
        ({"00000/b.png": 1, "00000/a.png": 0, "00001/c.png": 0}, {"0": [1, 3], "1": [2]}),
        (None, {"gan": [1, 2, 3]}),
    ],
)
def test_the_dataset_json_of_stylegan_gives_the_classes(tmp_path, labels, expected):
    files = {
        "00000/a.png": 1,
        "00000/b.png": 2,
        "00001/c.png": 3,
        "dataset.json": json.dumps({"labels": labels}).encode(),
    }
    assert classes(FolderSource(str(zipped(tmp_path / "gan.zip", files)))) == expected


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"labels": [["a.png", [0, 1]]]}', b"[" * 10**5, b"\xff"])
def test_a_damaged_dataset_json_is_refused(tmp_path, content):
    with pytest.raises(CganError, match=r"dataset\.json: expected"):
        FolderSource(str(tree(tmp_path / "x", {"a.png": 1, "dataset.json": content})))


def test_a_table_of_more_bytes_than_any_needs_is_refused(tmp_path):
    for name in ("labels.csv", "dataset.json"):
        root = tree(tmp_path / name, {"a.png": 1, name: b"file,class\n" + b" " * 2**25})
        with pytest.raises(CganError, match=rf"{name}: expected a table of at most 33,554,432 bytes, found 33,554,443"):
            FolderSource(str(root))


def test_folders_nest_as_deeply_as_they_like_and_huge_files_are_refused(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.open(deep, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    with pytest.raises(CganError, match="deep: expected one folder of pictures per class, found nothing"):
        FolderSource(str(deep))
    subprocess.run(["rm", "-r", str(deep)], check=True)  # Python's own removal recurses
    root = tree(tmp_path / "x", SPLIT)
    with (root / "train" / "ant" / "huge.png").open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(CganError, match=r"huge\.png: expected a picture, found a file .*more than 268,435,456 bytes"):
        FolderSource(str(root)).prepare()


def test_classes_are_in_natural_order(tmp_path):
    names = ["10", "2", "1", "img12", "img2", "b", "A"]
    root = tree(tmp_path / "x", {f"{name}/{k}.png": 1 for name in names for k in range(2)})
    assert FolderSource(str(root)).spec.class_names == ("1", "2", "10", "A", "b", "img2", "img12")


def test_names_are_one_unicode_form_with_plain_spaces(tmp_path):
    cafe = unicodedata.normalize("NFD", "café")
    files = {
        f"train/{cafe}/a.png": 1,
        "test/café/a.png": 2,
        "train/red\xa0cat/a.png": 3,
        "train/👩‍🚀/a.png": 4,
        "train/قط/a.png": 5,
    }
    source = FolderSource(str(tree(tmp_path / "x", files)))
    assert classes(source) == {"café": [1, 2], "red cat": [3], "قط": [5], "👩‍🚀": [4]}
    assert source.spec.label_of("red cat") == source.spec.class_names.index("red cat")
    assert type(source.spec).from_dict(source.spec.to_dict()) == source.spec


@pytest.mark.parametrize("name", ["red\ncat", "x" * 101, "a\x1b[2Jb", "a\udcffb"])
def test_a_class_that_could_not_be_drawn_from_is_refused_before_training(tmp_path, name):
    root = tree(tmp_path / "x", {f"{name}/a.png": 1, "dog/a.png": 2})
    with pytest.raises(CganError, match="cannot be printed") as caught:
        FolderSource(str(root))
    assert repr(name)[1:20] in str(caught.value)
    assert str(caught.value).isprintable()


def test_what_the_system_left_there_is_counted_and_said(tmp_path):
    junk = dict.fromkeys(("ant/Thumbs.db", "ant/._a.png", "__MACOSX/ant/._a.png", ".DS_Store"), b"\x00")
    junk |= {".ipynb_checkpoints/a.png": 9, "ant/.ipynb_checkpoints/a-checkpoint.png": 9}
    source = FolderSource(str(tree(tmp_path / "x", {**TWO, **junk, "README.txt": b"hi", "ant/notes.md": b"hi"})))
    assert classes(source) == {"ant": [1, 2], "bee": [3, 4]}
    assert "6 files of the system" in source.report[2]
    assert "1 .md files" in source.report[2]
    assert "1 .txt files" in source.report[2]


def test_folders_within_a_class_belong_to_it(tmp_path):
    files = {"ant/a.png": 1, "ant/more/b.png": 2, "ant/more/more/c.png": 3, "bee/x/y.png": 4}
    assert classes(FolderSource(str(tree(tmp_path / "x", files)))) == {"ant": [1, 2, 3], "bee": [4]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "found nothing"),
        ({"a.txt": b"x", "b.heic": b"x"}, r"1 \.\w+ files, 1 \.\w+ files"),
        ({"a.png": 1, "cat/b.png": 2}, r"1 pictures \(a\.png\) beside folders of pictures \(cat\)"),
        ({**SPLIT, "test/wasp/a.png": 1}, "'wasp' is in test/ .*not in train/"),
        ({"test/ant/a.png": 1, "val/ant/a.png": 1}, "no train/"),
    ],
)
def test_what_is_not_clear_is_refused_with_what_was_found(tmp_path, files, message):
    (tmp_path / "x").mkdir()
    with pytest.raises(CganError, match=message) as caught:
        FolderSource(str(tree(tmp_path / "x", files)))
    assert str(tmp_path / "x") in str(caught.value)


@pytest.mark.parametrize(
    ("files", "options", "changed", "found"),
    [
        ({"a.png": 1, "cat/b.png": 2, "dog/c.png": 3}, {}, {"a.png": "cat/a.png"}, {"cat": [1, 2], "dog": [3]}),
        ({"a.png": 1, "b.png": 1, "cat/c.png": 2}, {}, {"": "labels.csv"}, {"cat": [2], "dog": [1, 1]}),
        ({**SPLIT, "test/wasp/a.png": 9}, {}, {"test/wasp/a.png": "train/wasp/a.png"}, None),
        ({**SPLIT, "test/wasp/a.png": 9}, {}, {"test/wasp/a.png": ""}, {"ant": [1, 3], "bee": [2, 4]}),
        ({"ant/a.png": 1, "bee/a.png": 2}, {}, {"": "ant/b.png"}, {"ant": [1, 9], "bee": [2]}),
        (
            {**TWO, "x" * 101 + "/a.png": 5},
            {},
            {"x" * 101 + "/a.png": "x/a.png"},
            {"ant": [1, 2], "bee": [3, 4], "x": [5]},
        ),
        ({**SPLIT, "train/wasp/a.png": b""}, {"skip_unreadable": True}, {"train/wasp/a.png": ""}, None),
        ({**TWO, "ant/bad.png": b""}, {}, {"ant/bad.png": ""}, {"ant": [1, 2], "bee": [3, 4]}),
    ],
    ids=[
        "moved",
        "table",
        "into train",
        "removed",
        "two of a class",
        "renamed",
        "without its class",
        "bad one removed",
    ],
)
def test_what_is_not_clear_is_read_when_it_is_changed_as_the_error_says(tmp_path, files, options, changed, found):
    """Pictures are moved, or removed where they go nowhere; what is new comes from nowhere."""
    root = tree(tmp_path / "x", files)
    new = {"labels.csv": b"file,class\na.png,dog\nb.png,dog\ncat/c.png,cat\n", "ant/b.png": 9}
    with pytest.raises(CganError, match=r"; (move|give|rename|mend).*") as caught:
        FolderSource(str(root), **options).prepare()
    for source, target in changed.items():
        if not source:
            assert {"labels.csv": "add a labels.csv", "ant/b.png": "two or more"}[target] in str(caught.value)
            tree(root, {target: new[target]})
        elif target:
            assert re.search("move|rename", str(caught.value))
            (root / target).parent.mkdir(exist_ok=True)
            (root / source).rename(root / target)
        else:
            assert "remove it" in str(caught.value)
            shutil.rmtree((root / source).parent) if "wasp" in source else (root / source).unlink()
    for emptied in [folder for folder in root.iterdir() if folder.is_dir() and not any(folder.iterdir())]:
        emptied.rmdir()
    assert found is None or classes(FolderSource(str(root), **options)) == found
    FolderSource(str(root), **options).prepare()


def test_what_is_named_in_its_place_is_read(tmp_path):
    def refused(root: Path, **options: Any) -> str:
        with pytest.raises(CganError) as caught:
            FolderSource(str(root), **options).prepare()
        return str(caught.value)

    root = tree(tmp_path / "x", {"test/ant/a.png": 1, "test/ant/b.png": 2, "val/ant/c.png": 3})
    folders = re.findall(r"found (\w+), (\w+) and no train/; name one of these", refused(root))[0]
    assert classes(FolderSource(str(root / folders[0]))) == {"ant": [1, 2]}
    bad = tree(tmp_path / "bad", {**TWO, "ant/bad.png": b""})
    key, value = re.findall(r"without it: data\.(\w+)=(\w+)", refused(bad))[0]
    assert classes(FolderSource(str(bad), **{key: json.loads(value)})) == {"ant": [1, 2], "bee": [3, 4]}
    masks = tree(tmp_path / "masks", dict.fromkeys(TWO, 1))
    factor = int(re.findall(r"multiply them by (\d+)", refused(masks))[0])
    assert classes(FolderSource(str(tree(masks, dict.fromkeys(TWO, factor))))) == {"ant": [255] * 2, "bee": [255] * 2}
    assert "expected a folder outside of" in refused(bad, cache=str(bad / "cache"))
    archive = tmp_path / "x.tar"
    shutil.make_archive(str(tmp_path / "x"), "tar", tree(tmp_path / "packed", TWO))
    assert "unpack other archives first" in refused(archive)
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    assert classes(FolderSource(str(tmp_path / "unpacked"))) == {"ant": [1, 2], "bee": [3, 4]}


def test_folders_without_pictures_and_pictures_outside_the_splits_are_said(tmp_path):
    root = tree(tmp_path / "x", {**SPLIT, "extra/a.png": 9})
    (root / "train" / "wasp").mkdir()
    source = FolderSource(str(root))
    assert "1 folders without pictures (wasp)" in source.report[2]
    assert "1 pictures outside of train/ and test/" in source.report[2]


def test_a_test_folder_without_classes_is_left_out_and_a_test_split_cut_off(tmp_path):
    files = {"train/ant/a.png": 1, "train/ant/b.png": 2, "train/bee/a.png": 3, "train/bee/b.png": 4, "test/1.png": 9}
    source = FolderSource(str(tree(tmp_path / "x", files)))
    assert classes(source) == {"ant": [1, 2], "bee": [3, 4]}
    assert "1 pictures in test/, which has no class folders" in source.report[2]


def test_the_split_is_stratified_and_follows_from_its_seed(tmp_path):
    files = {f"{name}/{k}.png": k for name, count in (("a", 40), ("b", 10)) for k in range(count)}
    root = str(tree(tmp_path / "x", files))
    source = FolderSource(root)
    assert source.load("test").labels.bincount().tolist() == [4, 1]
    assert levels(FolderSource(root, cache="none"), "test") == levels(source, "test")
    assert levels(FolderSource(root, split_seed=2), "test") != levels(source, "test")
    assert FolderSource(root, test_share=0.5).load("test").labels.bincount().tolist() == [20, 5]
    tree(tmp_path / "x", {"b/new.png": 99})
    assert set(levels(source, "test")) - set(levels(FolderSource(root), "test")) <= {*levels(source, "test")[4:]}


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "empty file"), (png()[:40], "the start of one"), (b"hello", "something else"), (NOISE[:-99], "damaged")],
)
def test_an_unreadable_file_is_named_or_skipped(tmp_path, content, found):
    files = {**SPLIT, "train/ant/bad.png": content, "test/bee/bad.png": content}
    root = str(tree(tmp_path / "x", files))
    with pytest.raises(CganError, match=rf"bad\.png: expected a picture, found .*{found}.*data\.skip_unreadable=true"):
        FolderSource(root).prepare()
    source = FolderSource(root, skip_unreadable=True)
    assert (levels(source, "train"), levels(source, "test")) == ([1, 2], [3, 4])
    assert "2 unreadable (train/ant/bad.png, test/bee/bad.png)" in source.report[2]


def test_without_a_picture_to_test_with_nothing_is_trained(tmp_path):
    with pytest.raises(CganError, match=r"data\.root=.*x: no picture is left to test with; give a class two"):
        FolderSource(str(tree(tmp_path / "x", {"ant/a.png": 3, "bee/a.png": 4}))).prepare()


def test_a_pipe_is_not_waited_for(tmp_path):
    root = tree(tmp_path / "x", SPLIT)
    os.mkfifo(root / "train" / "ant" / "pipe.png")
    with pytest.raises(CganError, match=r"pipe\.png: expected a picture, found a file that cannot be read \(a pipe"):
        FolderSource(str(root)).prepare()


def test_a_class_without_a_readable_picture_is_refused(tmp_path):
    with pytest.raises(CganError, match="'wasp' has no picture that can be read"):
        FolderSource(str(tree(tmp_path / "x", {**SPLIT, "train/wasp/a.png": b""})), skip_unreadable=True).prepare()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)], (28, 28)),
        ([(48, 64)], (64, 48)),
        ([(30, 50)], (48, 28)),
        ([(100, 100)], (64, 64)),
        ([(300, 100), (32, 32), (640, 480)], (64, 64)),
        ([(20, 30), (50, 50), (40, 40)], (32, 32)),
    ],
)
def test_the_size_is_chosen_by_the_pictures(tmp_path, sizes, expected):
    files = {f"a/{k}.png": png(size=size) for k, size in enumerate(sizes * 4)}
    source = FolderSource(str(tree(tmp_path / "x", files)))
    assert source.spec.img_shape == (1, *expected)
    shape = f"{expected[1]}x{expected[0]}" + (" (width and height)" if expected[0] != expected[1] else "")
    assert f"{shape}, grey (size and channels chosen by these pictures" in source.report[2]


def test_a_size_may_be_one_number_or_two(tmp_path):
    root = str(tree(tmp_path / "x", TWO))
    assert FolderSource(root, size=16).spec.img_shape == (1, 16, 16)
    assert FolderSource(root, size=[12, 16], channels=3).load("train").images.shape == (2, 3, 12, 16)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": [3, 32, 32]}, r"data\.size=\[3, 32, 32\]: expected pixels as 64, or as \[48,64\]"),
        ({"size": 0}, r"data\.size=0"),
        ({"size": "64x64"}, r"data\.size=64x64"),
        ({"channels": 2}, r"data\.channels=2: expected 1 .*3 .*4"),
        ({"channels": 0}, r"data\.channels=0"),
        ({"channels": True}, r"data\.channels=True"),
        ({"channels": 3.0}, r"data\.channels=3\.0"),
        ({"background": None}, r"data\.background=None"),
        ({"split_seed": "x"}, r"data\.split_seed=x: expected a whole number from 0"),
        ({"cache": True}, r"data\.cache=True: expected auto, none or a folder"),
        ({"fit": "squash"}, r"data\.fit=squash: expected one of crop, pad, stretch, random_crop"),
        ({"background": "blanc"}, r"data\.background=blanc: expected white, black, mean or .*#rrggbb"),
        ({"test_share": 1}, r"data\.test_share=1"),
        ({"root": "/dev/null/x"}, r"data\.root=/dev/null/x: no such folder or zip"),
    ],
)
def test_an_option_with_another_value_is_refused(tmp_path, option, message):
    root = str(tree(tmp_path / "x", TWO))
    with pytest.raises(CganError, match=message):
        FolderSource(**{"root": root, **option})


def test_what_was_found_and_done_is_said(tmp_path):
    files = {
        "a/1.png": png(size=(300, 100)),
        "a/2.png": png(size=(32, 32)),
        "b/3.png": png(size=(64, 64)),
        "a/4.png": png(size=(32, 32)),
    }
    source = FolderSource(str(tree(tmp_path / "x", files)), size=32)
    assert source.report[0].endswith("2 classes of 1 (b) to 2 (a)")
    assert source.report[1] == "Found:    32x32 and 300x100 and 64x64 pixels; grey"
    assert "2 as they are, 1 scaled and cut to the middle, 1 scaled" in source.report[2]


# Zips


@pytest.mark.parametrize("name", ["../up.png", "/root.png", "a/../../b.png", "..\\up.png", "C:\\x.png"])
def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, name):
    with pytest.raises(CganError, match="leads out of it"):
        FolderSource(str(zipped(tmp_path / "x.zip", {**TWO, name: 1})))


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    path = zipped(tmp_path / "x.zip", TWO)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("ant/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert classes(FolderSource(str(path))) == {"ant": [1, 2], "bee": [3, 4]}


def test_a_damaged_or_encrypted_zip_is_one_line(tmp_path):
    path = zipped(tmp_path / "x.zip", TWO)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(CganError, match=r"x\.zip: a zip that is cut off or damaged; copy or download it again"):
        FolderSource(str(path))
    path.write_bytes(content.replace(png(2), png(2)[:-2] + bytes(2)))
    with pytest.raises(CganError, match=r"ant/b\.png: expected a picture"):
        FolderSource(str(path)).prepare()
    encrypted = bytearray(content)
    for place in re.finditer(rb"PK\x01\x02", content):
        encrypted[place.start() + 8] |= 1
    path.write_bytes(encrypted)
    with pytest.raises(CganError, match=r"it is encrypted .*; unpack it and name the folder"):
        FolderSource(str(path))
    path.write_bytes(content)  # copied again
    shutil.unpack_archive(path, tmp_path / "unpacked")
    assert classes(FolderSource(str(path))) == classes(FolderSource(str(tmp_path / "unpacked")))
    (tmp_path / "x.tar").write_bytes(b"x")
    with pytest.raises(CganError, match="unpack other archives"):
        FolderSource(str(tmp_path / "x.tar"))


def test_a_file_of_a_zip_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ant/a.png", png(1))
        with archive.open("ant/b.png", "w") as file:
            for _ in range(17):
                file.write(bytes(2**24))
    with pytest.raises(CganError, match=r"b\.png: expected a picture, found a file that .*285212672"):
        FolderSource(str(path)).prepare()


def test_a_zip_made_on_windows_is_read(tmp_path):
    assert classes(
        FolderSource(str(zipped(tmp_path / "x.zip", {k.replace("/", "\\"): v for k, v in TWO.items()})))
    ) == {
        "ant": [1, 2],
        "bee": [3, 4],
    }


def test_names_of_files_move_no_cursor(tmp_path):
    files = {**TWO, "bee/x\x1b[2J\n.png": b"no", "ant/y.\x1b[1m": b"no"}
    root = str(zipped(tmp_path / "x.zip", files))
    with pytest.raises(CganError, match=r"x\\x1b\[2J .png: expected a picture"):
        FolderSource(root).prepare()
    said = FolderSource(root, skip_unreadable=True).report[2]
    assert said.endswith(r"left out: 1 .\x1b[1m files, 1 unreadable (bee/x\x1b[2J\n.png)")
    assert said.isprintable()


def test_links_to_folders_are_followed_and_rings_of_links_are_not(tmp_path):
    tree(tmp_path / "elsewhere", {"a.png": 5, "b.png": 6})
    root = tree(tmp_path / "x", TWO)
    (root / "cow").symlink_to(tmp_path / "elsewhere")
    (root / "ant" / "up").symlink_to(root)
    (root / "ant" / "gone.png").symlink_to("nowhere")
    with pytest.raises(CganError, match=r"gone\.png: expected a picture"):
        FolderSource(str(root)).prepare()
    (root / "ant" / "gone.png").unlink()
    assert classes(FolderSource(str(root))) == {"ant": [1, 2], "bee": [3, 4], "cow": [5, 6]}


def test_links_that_double_the_files_at_each_level_are_refused(tmp_path):
    """Thirty folders, each with two links to the next: 2**30 names."""
    root = tree(tmp_path / "x", TWO)
    for level in range(30):
        (root / f"level{level}").mkdir()
        for link in "ab":
            (root / f"level{level}" / link).symlink_to(root / f"level{level + 1}")
    with pytest.raises(CganError, match=r"links lead to .*level\d+ more than 4 times; remove some$"):
        FolderSource(str(root))


# The cache


def stores(cache: Path) -> list[Path]:
    return sorted(path for path in cache.glob("*") if path.is_dir())


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from now on."""
    from cgan.data import reading

    names, real = [], reading.read_picture

    def counted(content: bytes, form: Any, name: str) -> Any:
        names.append(name)
        return real(content, form, name)

    monkeypatch.setattr(reading, "read_picture", counted)
    return names


@pytest.mark.parametrize("make", [tree, zipped])
def test_pictures_are_decoded_once(tmp_path, make, cache, monkeypatch):
    decoded = reads(monkeypatch)
    root = str(make(tmp_path / "x.zip", TWO))
    first = FolderSource(root)
    first.prepare()
    assert sorted(decoded) == sorted(TWO)
    second = FolderSource(root)
    assert torch.equal(second.load("train").images, first.load("train").images)
    assert (second.spec, second.report, second.files) == (first.spec, first.report, first.files)
    assert len(decoded) == 4
    (store,) = stores(cache)
    assert sorted(path.suffix for path in store.iterdir()) == [".json", ".uint8"]


def test_writing_to_a_mapped_split_does_not_change_the_cache(tmp_path):
    root = str(tree(tmp_path / "x", TWO))
    FolderSource(root).load("train").images.fill_(77)
    assert set(levels(FolderSource(root), "train")) <= {1, 2, 3, 4}


def test_the_cache_is_never_stale(tmp_path, cache):
    root = tree(tmp_path / "x", {"a/1.png": 1, "a/2.png": 2})

    def now(**options: Any) -> list[int]:
        return sorted(
            levels(FolderSource(str(root), **options), "train") + levels(FolderSource(str(root), **options), "test")
        )

    assert now() == [1, 2]
    before = (root / "a/1.png").stat()
    (root / "a/1.png").write_bytes(png(5))  # as many bytes, ...
    os.utime(root / "a/1.png", ns=(before.st_atime_ns, before.st_mtime_ns))  # ... and the time set back
    assert now() == [2, 5]
    (root / "a/2.png").rename(root / "a/3.png")
    assert now() == [2, 5]
    tree(root, {"a/4.png": 9})
    assert now() == [2, 5, 9]
    count = len(stores(cache))
    for options in ({"size": 16}, {"channels": 3}, {"fit": "pad"}, {"background": "black"}, {"test_share": 0.5}):
        FolderSource(str(root), **options).prepare()
        count += 1
        assert len(stores(cache)) == count, options


@pytest.mark.parametrize("damage", ["cut", "changed", "about", "emptied", "gone"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, damage):
    root = str(tree(tmp_path / "x", TWO))
    expected = classes(FolderSource(root))
    (store,) = stores(cache)
    (pixels,) = store.glob("*.uint8")
    content = pixels.read_bytes()
    if damage == "cut":
        pixels.write_bytes(content[:-1])
    elif damage == "changed":
        pixels.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "about":
        about = (store / "about.json").read_bytes()
        (store / "about.json").write_bytes(about.replace(b'"ant"', b'"tan"'))
    elif damage == "emptied":
        (store / "about.json").write_bytes(b"")
    else:
        pixels.unlink()
    assert classes(FolderSource(root)) == expected
    assert len(stores(cache)) == 1


def test_what_a_killed_run_left_is_cleared(tmp_path, cache):
    root = str(tree(tmp_path / "x", TWO))
    FolderSource(root).prepare()
    (store,) = stores(cache)
    store.rename(store.with_suffix(".part"))
    assert classes(FolderSource(root)) == {"ant": [1, 2], "bee": [3, 4]}
    assert stores(cache) == [store]


def test_of_two_runs_at_once_one_decodes_and_the_other_waits(tmp_path, cache, monkeypatch):
    decoded = reads(monkeypatch)
    root = str(tree(tmp_path / "x", TWO))
    one, two = FolderSource(root), FolderSource(root)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(FolderSource.prepare, [one, two]))
    assert torch.equal(two.load("train").images, one.load("train").images)
    assert len(decoded) == 4
    assert len(stores(cache)) == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
def test_two_processes_at_once_fill_one_cache(tmp_path, cache):
    root = str(tree(tmp_path / "x", {f"a/{k}.png": k for k in range(200)}))
    started = multiprocessing.get_context("fork").Barrier(2)

    def fill() -> None:
        source = FolderSource(root)
        started.wait(60)
        (tmp_path / f"sum{os.getpid()}").write_text(str(source.load("train").images.sum()))

    processes = [multiprocessing.get_context("fork").Process(target=fill) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    expected = str(FolderSource(root).load("train").images.sum())
    assert [path.read_text() for path in tmp_path.glob("sum*")] == [expected] * 2
    assert len(stores(cache)) == 1
    assert not list(cache.glob("*.part"))


def test_stores_that_were_used_longest_ago_make_room(tmp_path, cache, monkeypatch):
    monkeypatch.setattr("cgan.data.store.MAX_BYTES", 3 * 10_000)
    roots = [str(tree(tmp_path / name, {"a/1.png": 1, "a/2.png": 2})) for name in "abcd"]
    made = []
    for number, root in enumerate(roots[:3]):
        FolderSource(root, size=64).prepare()  # 8,192 bytes of pixels
        made.append(next(store for store in stores(cache) if store not in made))
        os.utime(made[-1] / "about.json", (number, number))
    (cache / "mine").mkdir()
    FolderSource(roots[0], size=64).prepare()  # used again
    FolderSource(roots[3], size=64).prepare()
    left = stores(cache)
    assert made[1] not in left
    assert {made[0], made[2], cache / "mine"} < set(left)
    assert len(left) == 4


def test_without_a_place_for_the_cache_the_run_goes_on(tmp_path, caplog):
    root = str(tree(tmp_path / "x", TWO))
    (tmp_path / "file").write_text("")
    caplog.set_level("INFO")
    assert classes(FolderSource(root, cache=str(tmp_path / "file"))) == {"ant": [1, 2], "bee": [3, 4]}
    assert "data.cache=FOLDER" in caplog.text


def test_the_cache_may_be_another_folder_or_none(tmp_path, cache):
    root = str(tree(tmp_path / "x", TWO))
    assert classes(FolderSource(root, cache="none")) == classes(FolderSource(root, cache=str(tmp_path / "mine")))
    assert not cache.exists()
    assert len(stores(tmp_path / "mine")) == 1


def test_files_that_change_while_they_are_read_are_refused(tmp_path, cache):
    root = tree(tmp_path / "x", TWO)
    source = FolderSource(str(root))
    tree(root, {"ant/c.png": 7})
    with pytest.raises(CganError, match="changed while they were read; start again"):
        source.prepare()
    assert not stores(cache)
    assert classes(FolderSource(str(root))) == {"ant": [1, 2, 7], "bee": [3, 4]}


def test_a_cache_within_the_pictures_is_refused(tmp_path):
    root = tree(tmp_path / "x", TWO)
    with pytest.raises(CganError, match=r"data\.cache=.*expected a folder outside of data\.root"):
        FolderSource(str(root), cache=str(root / "cache"))


def test_runs_and_the_cache_may_lie_in_the_folder_of_pictures(tmp_path, monkeypatch):
    root = tree(tmp_path / "x", {**TWO, "logs/train/runs/1/samples/1.png": 9, "my/run/samples/1.png": 9})
    (root / "my" / "run" / ".hydra").mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / ".cache"))
    source = FolderSource(".")
    (root / "my" / "run" / "train.log").write_text("a line")
    assert classes(source) == classes(FolderSource(".")) == {"ant": [1, 2], "bee": [3, 4]}
    assert len(stores(root / ".cache" / "cgan" / "pictures")) == 1


def test_the_example_writes_digits_in_colour_that_a_folder_reads(tmp_path, monkeypatch):
    example = Path(__file__).parents[1] / "examples" / "coloured_digits.py"
    folder = tmp_path / "digits"
    monkeypatch.setattr(sys, "argv", ["coloured_digits.py", str(folder), "--size", "20", "--digits", "mnist5k"])
    runpy.run_path(str(example), run_name="__main__")
    source = FolderSource(folder)
    images, labels = source.load("train")
    assert images.shape == (4000, 3, 20, 20)
    assert labels.bincount().tolist() == [400] * 10
    assert len(source.load("test").labels) == 1000
    ground = images[:, :, 0, 0].double()  # no digit reaches the corner
    dark = (ground <= 110).all(1)
    assert 0.45 < dark.double().mean() < 0.55
    assert (dark | (ground >= 145).all(1)).all()
    assert ground.std(0).min() > 60  # every channel of its own
    assert torch.corrcoef(ground[dark].T).triu(1).abs().max() < 0.1


def test_the_example_says_in_one_line_what_it_cannot_write(tmp_path, monkeypatch):
    example = Path(__file__).parents[1] / "examples" / "coloured_digits.py"
    (tmp_path / "mine.png").touch()
    for words, said in (
        ([str(tmp_path)], f"error: {tmp_path}: expected a new or an empty folder"),
        ([str(tmp_path / "new"), "--size", "0"], "error: --size=0: expected a whole number from 1"),
        ([str(tmp_path / "new"), "--digits", "mnits"], "error: --digits=mnits: expected one of celeba, cifar10,"),
        ([str(tmp_path / "new"), "--digits", "cifar10"], "error: --digits cifar10: expected grey pictures"),
    ):
        monkeypatch.setattr(sys, "argv", ["coloured_digits.py", *words])
        with pytest.raises(SystemExit, match=f"^{re.escape(said)}"):
            runpy.run_path(str(example), run_name="__main__")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]
