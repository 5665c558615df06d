"""Which files are pictures, of which class and split: the usual layouts of folders, and tables of labels."""

import hashlib
import re
import unicodedata
from collections import Counter
from pathlib import PurePosixPath
from typing import NamedTuple

from cgan.data.pixels import ENDINGS
from cgan.data.report import describe_left_out
from cgan.data.tables import TABLES, read_table
from cgan.data.trees import Tree
from cgan.errors import CganError
from cgan.spec import is_name

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MAX_CLASSES = 10_000
_UNNAMED = "pictures that the table of labels does not name"
_SYSTEM = ("__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN")
Labelled = dict[str, str]
"""The class of each file, by its name."""


class Found(NamedTuple):
    """What a tree holds, before a test split is chosen and the classes are numbered.

    Attributes:
        splits: ``train``, and perhaps ``val`` and ``test``: the class of each file.
        left_out: How many files were left out, by reason.
        class_names: In the order of the labels; None: those found, in natural order (2 before 10).
        factors: As :attr:`cgan.spec.DataSpec.factors`.
        test_note: Where the test split comes from, if not from a folder ``test/`` or ``val/``.
    """

    splits: dict[str, Labelled]
    left_out: Counter[str]
    class_names: tuple[str, ...] | None = None
    factors: tuple[int, ...] = ()
    test_note: str = ""


class Layout(NamedTuple):
    """The pictures to train on and to test with: names of files with their labels.

    Attributes:
        test_note: Where the test split comes from, in words.
        class_names, left_out, factors: As in :class:`Found`.
    """

    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    test_note: str
    class_names: tuple[str, ...]
    left_out: Counter[str]
    factors: tuple[int, ...] = ()


def find_layout(tree: Tree, name: str) -> Found:
    """Find classes and splits.

    Layouts: ``CLASS/*``; ``train|val|test/CLASS/*``; files with a table ``labels.csv`` (file, class) or
    ``dataset.json`` (StyleGAN's); files alone, which make one class. A folder around all of it is passed over, and
    folders within a class's folder count to the class.

    Args:
        tree: The files.
        name: What the data set is called; also the name of the only class of files alone.

    Raises:
        CganError: There are no pictures, or their classes are not clear.
    """
    pictures, left_out = _pictures(tree)
    base = _base(pictures, tree.names)
    splits = _splits(tree, pictures, base)
    left_out["pictures outside of train/ and test/"] += len(splits.pop("", {}))
    table = _table(tree, pictures, base, name)
    if table is not None:
        classes = {split: {file: table[file] for file in files if file in table} for split, files in splits.items()}
        left_out[_UNNAMED] += sum(map(len, splits.values())) - sum(map(len, classes.values()))
        return Found(classes, left_out)
    classes = {split: _classes_by_folder(tree, files, name) for split, files in splits.items()}
    _leave_out_unlabelled(classes, name, left_out)
    if empty := _empty_folders(tree.names, splits["train"]):
        left_out[f"folders without pictures ({', '.join(empty):.60})"] += len(empty)
    return Found(classes, left_out)


def find_classes(tree: Tree, only_class: str) -> tuple[Labelled, Counter[str]]:
    """Find the class of each picture where there are no splits; also count the files that were left out, by reason.

    Args:
        tree: The files.
        only_class: The class of pictures that lie in no folder and in no table.

    Raises:
        CganError: As :func:`find_layout`.
    """
    pictures, left_out = _pictures(tree)
    base = _base(pictures, tree.names)
    table = _table(tree, pictures, base, only_class)
    if table is None:
        return _classes_by_folder(tree, {name: name[len(base) :] for name in pictures}, only_class), left_out
    left_out[_UNNAMED] += len(pictures) - len(table)
    return table, +left_out


def numbered(found: Found, shown: str, test_share: float, split_seed: int) -> Layout:
    """Choose the test split and number the classes.

    ``val`` is the test split where there is no ``test``; without both, a share of each class is kept apart.

    Args:
        found: The classes and splits.
        shown: What errors call the data set.
        test_share: The share of each class that is kept apart where there is no test split.
        split_seed: Names which ones.

    Raises:
        CganError: A class has pictures to test with and none to train on, or there are too many classes.
    """
    train, left_out = found.splits["train"], found.left_out.copy()
    chosen = next((split for split in ("test", "val") if found.splits.get(split)), None)
    if chosen is None:
        smallest = min(Counter(train.values()).values(), default=1)
        least = "" if round(smallest * test_share) else " (at least one of two)"
        note = f"{test_share:.0%} of each class{least} kept apart, as there is no test/"
        test = _kept_apart(train, test_share, split_seed)
        train = {file: name for file, name in train.items() if file not in test}
    else:
        test, note = found.splits[chosen], found.test_note or f"from {chosen}/"
    if chosen == "test":
        left_out["pictures in val/, as there is a test/"] += len(found.splits.get("val", {}))
    names = found.class_names or tuple(sorted(set(train.values()), key=_natural))
    if not names:
        raise CganError(f"{shown}: no picture to train on has a class{describe_left_out(left_out)}")
    if unknown := sorted(set(test.values()) - set(names), key=_natural):
        raise CganError(
            f"{shown}: class {unknown[0]!r} is in {chosen}/ ({', '.join(unknown):.80}) and not in train/; move "
            "pictures of it to train/, or remove it"
        )
    if len(names) > MAX_CLASSES:
        raise CganError(f"{shown}: found {len(names)} classes, expected at most {MAX_CLASSES}")
    labels = {name: label for label, name in enumerate(names)}
    in_train, in_test = (
        sorted(((file, labels[name]) for file, name in part.items()), key=lambda entry: (entry[1], entry[0]))
        for part in (train, test)
    )
    return Layout(in_train, in_test, note, names, +left_out, found.factors)


def _pictures(tree: Tree) -> tuple[list[str], Counter[str]]:
    """Return the files that are pictures by their ending, and count the others by kind.

    Raises:
        CganError: There are none.
    """
    pictures, left_out = list[str](), Counter[str]()
    for name in tree.names:
        path = PurePosixPath(name)
        if name.endswith("/"):
            continue
        if _is_systems(path):
            left_out["files of the system, such as Thumbs.db and .DS_Store"] += 1
        elif path.suffix.lower() in ENDINGS:
            pictures.append(name)
        elif path.name not in TABLES:
            left_out[f"{path.suffix.lower():.12} files" if path.suffix else "files without an ending"] += 1
    if not pictures:
        found = ", ".join(f"{count} {kind}" for kind, count in left_out.most_common(4)) or "nothing"
        raise CganError(
            f"{tree.shown}: expected one folder of pictures per class, found {found}; name another one or a .zip"
        )
    return pictures, left_out


def _is_systems(path: PurePosixPath) -> bool:
    """Whether a path is of the system or of a program, which the user may never have seen."""
    return any(part.startswith(".") or part in _SYSTEM for part in path.parts)


def _base(pictures: list[str], names: list[str]) -> str:
    """Return the folder, as ``a/b/``, around everything: ``name/train/cat/1.png`` is meant as ``train/cat/1.png``."""
    base, with_table = "", {folder for folder, file in map(_parted, names) if file in TABLES}
    while True:
        tops = {name[len(base) :].partition("/")[0] for name in pictures}
        inner = f"{base}{tops.pop()}/"
        is_class = inner not in with_table and any("/" not in name[len(inner) :] for name in pictures)
        if tops or base in with_table or is_class or _split_name(inner[len(base) : -1]):
            return base
        base = inner


def _parted(name: str) -> tuple[str, str]:
    """Part ``a/b/file`` into ``a/b/`` and ``file``."""
    file = name.rpartition("/")[2]
    return name.removesuffix(file), file


def _split_name(folder: str) -> str:
    return SPLITS.get(folder.lower(), "")


def _splits(tree: Tree, pictures: list[str], base: str) -> dict[str, dict[str, str]]:
    """Group the pictures by split: their names, each with its path within the split's folder.

    Those outside of the splits' folders have the split ``""``. A folder ``train`` beside others is a class (of trains)
    unless it holds folders itself.
    """
    inner = {name: name[len(base) :] for name in pictures}
    tops = {path.partition("/")[0] for path in inner.values() if "/" in path}
    named = {top: split for top in tops if (split := _split_name(top))}
    has_classes = any(path.count("/") > 1 and path.partition("/")[0] in named for path in inner.values())
    if not named or not (has_classes or len(named) == len(tops)):
        return {"train": inner}
    if "train" not in named.values():
        raise CganError(f"{tree.shown}: found {', '.join(sorted(tops)):.80} and no train/; name one of these folders")
    splits: dict[str, dict[str, str]] = {}
    for name, path in inner.items():
        top, slash, rest = path.partition("/")
        splits.setdefault(named.get(top, "") if slash else "", {})[name] = rest
    return splits


def _table(tree: Tree, pictures: list[str], base: str, only_class: str) -> Labelled | None:
    """Read the tables of labels beside the pictures, or in the folders of the splits; None where there are none."""
    found: Labelled | None = None
    for entry in tree.names:
        folder, file = _parted(entry)
        inner = folder.removeprefix(base)
        if file not in TABLES or not folder.startswith(base) or (inner and not _split_name(inner[:-1])):
            continue
        below = [name.removeprefix(folder) for name in pictures if name.startswith(folder)]
        classes = read_table(tree, entry, below, only_class)
        found = (found or {}) | {f"{folder}{path}": class_name(tree.shown, label) for path, label in classes.items()}
    return found


def _classes_by_folder(tree: Tree, files: dict[str, str], only_class: str) -> Labelled:
    """Return the class of each picture of a split: its first folder; without folders all are of one class."""
    flat = [path for path in files.values() if "/" not in path]
    if len(flat) == len(files):
        return dict.fromkeys(files, only_class)
    folders = {path.partition("/")[0] for path in files.values() if "/" in path}
    if flat:
        raise CganError(
            f"{tree.shown}: found {len(flat)} pictures ({flat[0]:.60}) beside folders of pictures "
            f"({', '.join(sorted(folders)):.60}); move each into the folder of its class, or add a labels.csv"
        )
    names = {folder: class_name(tree.shown, folder) for folder in folders}
    return {file: names[path.partition("/")[0]] for file, path in files.items()}


def class_name(place: str, text: str) -> str:
    """Return a class's name as it can be typed: in one Unicode form, with plain spaces.

    Raises:
        CganError: It cannot be printed on one line, so no class could be drawn by it.
    """
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in text)
    name = unicodedata.normalize("NFC", spaced).strip(" ")
    if not is_name(name):
        raise CganError(
            f"{place}: the class {text!r:.120} cannot be printed on one line; rename it, to at most 100 letters"
        )
    return name


def _leave_out_unlabelled(classes: dict[str, Labelled], only_class: str, left_out: Counter[str]) -> None:
    """Leave out the pictures of a split without class folders, where the training split has them."""
    for split in [split for split, files in classes.items() if set(files.values()) == {only_class}]:
        if only_class not in classes["train"].values():
            left_out[f"pictures in {split}/, which has no class folders"] += len(classes.pop(split))


def _empty_folders(names: list[str], files: dict[str, str]) -> list[str]:
    """Return the names of the folders beside the training split's class folders that hold no picture."""
    roots = {file.removesuffix(path) for file, path in files.items() if "/" in path}
    classes = {f"{file.removesuffix(path)}{path.partition('/')[0]}/" for file, path in files.items()}
    beside = [name for name in names if name.endswith("/") and f"{name[:-1].rpartition('/')[0]}/".lstrip("/") in roots]
    return [
        name.rstrip("/").rpartition("/")[2]
        for name in beside
        if name not in classes and not _is_systems(PurePosixPath(name))
    ]


def _kept_apart(classes: Labelled, share: float, seed: int) -> Labelled:
    """Choose a share of each class, at least one of two: the first ones in the order of a hash of seed and name.

    A picture that is added later changes the choice little, and the seed of training does not.
    """

    def place(file: str) -> bytes:
        text = unicodedata.normalize("NFC", f"{seed}/{file}")
        return hashlib.sha256(text.encode(errors="surrogateescape")).digest()

    by_class: dict[str, list[str]] = {}
    for file in sorted(classes, key=place):
        by_class.setdefault(classes[file], []).append(file)
    chosen: Labelled = {}
    for name, files in by_class.items():
        count = max(1, round(len(files) * share)) if len(files) > 1 else 0
        chosen |= dict.fromkeys(files[:count], name)
    return chosen


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort numbers in names by their value: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part], name
