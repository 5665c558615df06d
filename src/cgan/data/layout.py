"""Which files are pictures, of which class and split: the usual layouts of folders, and tables of labels."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from cgan.data.pixels import ENDINGS
from cgan.data.tables import TABLES, matched, read_table
from cgan.data.trees import Tree
from cgan.errors import CganError
from cgan.spec import is_name

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MAX_CLASSES = 10_000
_SYSTEM = ("__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN")
Labelled = dict[str, str]
"""The class of each file, by its name."""


class Layout(NamedTuple):
    """The pictures of a folder.

    Attributes:
        class_names: In natural order: 2 before 10.
        train: Names of files with their labels.
        test: The same, of the test split.
        left_out: How many files were left out, by reason.
        test_note: Where the test split comes from, in words.
        factors: As :attr:`cgan.spec.DataSpec.factors`.
    """

    class_names: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    left_out: Counter[str]
    test_note: str
    factors: tuple[int, ...] = ()


def find_layout(tree: Tree, name: str, where: str, test_share: float = 0.1, split_seed: int = 1) -> Layout:
    """Find classes and splits.

    Layouts: ``CLASS/*``; ``train|val|test/CLASS/*``; files with a table ``labels.csv`` (file, class) or
    ``dataset.json`` (StyleGAN's); files alone, which make one class. A folder around all of it is passed over, and
    folders within a class's folder count to the class. ``val`` is the test split where there is no ``test``; without
    both, a share of each class is kept apart.

    Args:
        tree: The files.
        name: What the data set is called; also the name of the only class of files alone.
        where: What errors call the tree.
        test_share: The share of each class that is kept apart where there is no test split.
        split_seed: Names which ones.

    Raises:
        CganError: There are no pictures, or their classes are not clear.
    """
    pictures, left_out = _pictures(tree.names, where)
    base = _base(pictures, tree.names)
    splits = _splits(pictures, base, where)
    left_out["pictures outside of train/ and test/"] += len(splits.pop("", {}))
    table = _table(tree, pictures, base, name, where)
    classes = {}
    for split, files in splits.items():
        if table is None:
            classes[split] = _classes_by_folder(files, name, where)
        else:
            classes[split] = {file: table[file] for file in files if file in table}
            left_out["pictures that the table of labels does not name"] += len(files) - len(classes[split])
    if table is None:
        _leave_out_unlabelled(classes, name, left_out)
        if empty := _empty_folders(tree.names, splits["train"]):
            left_out[f"folders without pictures ({', '.join(empty):.60})"] += len(empty)
    return assembled(classes, left_out, where, test_share, split_seed)


def find_classes(tree: Tree, only_class: str, where: str) -> tuple[Labelled, Counter[str]]:
    """Find the class of each picture where there are no splits; also count the files that were left out, by reason.

    Args:
        tree: The files.
        only_class: The class of pictures that lie in no folder and in no table.
        where: What errors call the tree.

    Raises:
        CganError: There are no pictures, or their classes are not clear.
    """
    pictures, left_out = _pictures(tree.names, where)
    base = _base(pictures, tree.names)
    table = _table(tree, pictures, base, only_class, where)
    if table is None:
        return _classes_by_folder({name: name[len(base) :] for name in pictures}, only_class, where), left_out
    left_out["pictures that the table of labels does not name"] += len(pictures) - len(table)
    return table, +left_out


def assembled(
    classes: dict[str, Labelled], left_out: Counter[str], where: str, test_share: float, split_seed: int
) -> Layout:
    """Choose the test split and number the classes.

    Args:
        classes: The class of each file, by split: ``train``, and perhaps ``val`` and ``test``.
        left_out: How many files were left out, by reason.
        where: What errors call the data set.
        test_share: The share of each class that is kept apart where there is no test split.
        split_seed: Names which ones.

    Raises:
        CganError: A class has pictures to test with and none to train on, or there are too many classes.
    """
    train = classes["train"]
    chosen = next((split for split in ("test", "val") if split in classes), None)
    if chosen is None:
        test = _kept_apart(train, test_share, split_seed)
        train = {file: name for file, name in train.items() if file not in test}
        note = f"{test_share:.0%} of each class kept apart, as there is no test/"
    else:
        test, note = classes[chosen], f"from {chosen}/"
    if chosen == "test":
        left_out["pictures in val/, as there is a test/"] += len(classes.get("val", {}))
    names = tuple(sorted(set(train.values()), key=_natural))
    if unknown := sorted(set(test.values()) - set(names), key=_natural):
        raise CganError(
            f"{where}: class {unknown[0]!r} is in {chosen}/ ({', '.join(unknown):.80}) and not in train/; move "
            "pictures of it to train/, or remove it"
        )
    if len(names) > MAX_CLASSES:
        raise CganError(f"{where}: found {len(names)} classes, expected at most {MAX_CLASSES}")
    labels = {name: label for label, name in enumerate(names)}
    in_train, in_test = (
        sorted(((file, labels[name]) for file, name in part.items()), key=lambda entry: (entry[1], entry[0]))
        for part in (train, test)
    )
    return Layout(names, in_train, in_test, +left_out, note)


def _pictures(names: Iterable[str], where: str) -> tuple[list[str], Counter[str]]:
    """Return the files that are pictures by their ending, and count the others by kind.

    Raises:
        CganError: There are none.
    """
    pictures, left_out = list[str](), Counter[str]()
    for name in names:
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
            f"{where}: expected one folder of pictures per class, found {found}; name another one or a .zip"
        )
    return pictures, left_out


def _is_systems(path: PurePosixPath) -> bool:
    """Whether a path is of the system or of a program, which the user may never have seen."""
    return any(part.startswith(".") or part in _SYSTEM for part in path.parts)


def _base(pictures: list[str], names: list[str]) -> str:
    """Return the folder, as ``a/b/``, around everything: ``name/train/cat/1.png`` is meant as ``train/cat/1.png``."""
    base, tables = "", {name for name in names if PurePosixPath(name).name in TABLES}
    while True:
        tops = {name[len(base) :].partition("/")[0] for name in pictures}
        inner = f"{base}{next(iter(tops))}/"
        holds_all = len(tops) == 1 and all(name.startswith(inner) for name in pictures)
        has_table = any(f"{base}{table}" in tables for table in TABLES)
        inner_has_table = any(f"{inner}{table}" in tables for table in TABLES)
        is_class = not inner_has_table and any("/" not in name[len(inner) :] for name in pictures)
        if not holds_all or has_table or is_class or _split_name(inner[len(base) : -1]):
            return base
        base = inner


def _split_name(folder: str) -> str:
    return SPLITS.get(folder.lower(), "")


def _splits(pictures: list[str], base: str, where: str) -> dict[str, dict[str, str]]:
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
        raise CganError(f"{where}: found {', '.join(sorted(tops)):.80} and no train/; name one of these folders")
    splits: dict[str, dict[str, str]] = {}
    for name, path in inner.items():
        top, slash, rest = path.partition("/")
        splits.setdefault(named.get(top, "") if slash else "", {})[name] = rest
    return splits


def _table(tree: Tree, pictures: list[str], base: str, only_class: str, where: str) -> Labelled | None:
    """Read the tables of labels beside the pictures, or in the folders of the splits; None where there are none."""
    found: Labelled | None = None
    for entry in tree.names:
        folder, _, file = entry.rpartition("/")
        inner = f"{folder}/"[len(base) :] if folder else ""
        if file not in TABLES or not entry.startswith(base) or (inner and not _split_name(inner[:-1])):
            continue
        start = len(base) + len(inner)
        below = [name[start:] for name in pictures if name.startswith(entry[:start])]
        rows = read_table(tree, entry, f"{where}: {entry}")
        classes = dict.fromkeys(below, only_class) if rows is None else matched(rows, below, f"{where}: {entry}")
        named = {f"{entry[:start]}{path}": _class_name(label, where) for path, label in classes.items()}
        found = {**(found or {}), **named}
    return found


def _classes_by_folder(files: dict[str, str], only_class: str, where: str) -> Labelled:
    """Return the class of each picture of a split: its first folder; without folders all are of one class."""
    flat = [path for path in files.values() if "/" not in path]
    if len(flat) == len(files):
        return dict.fromkeys(files, only_class)
    folders = {path.partition("/")[0] for path in files.values() if "/" in path}
    if flat:
        raise CganError(
            f"{where}: found {len(flat)} pictures ({flat[0]:.60}) beside folders of pictures "
            f"({', '.join(sorted(folders)):.60}); move each into the folder of its class, or add a labels.csv"
        )
    names = {folder: _class_name(folder, where) for folder in folders}
    return {file: names[path.partition("/")[0]] for file, path in files.items()}


def _class_name(text: str, where: str) -> str:
    """Return a class's name as it can be typed: in one Unicode form, with plain spaces.

    Raises:
        CganError: It cannot be printed on one line, so no class could be drawn by it.
    """
    spaced = "".join(" " if unicodedata.category(letter) == "Zs" else letter for letter in text)
    name = unicodedata.normalize("NFC", spaced).strip(" ")
    if not is_name(name):
        raise CganError(
            f"{where}: the class {text!r:.120} cannot be printed on one line; rename it, to at most 100 letters"
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
    by_class: dict[str, list[str]] = {}
    for file, name in classes.items():
        by_class.setdefault(name, []).append(file)
    chosen: Labelled = {}
    for name, files in by_class.items():
        count = max(1, round(len(files) * share)) if len(files) > 1 else 0
        chosen |= dict.fromkeys(sorted(files, key=lambda file: _hashed(f"{seed}/{file}"))[:count], name)
    return chosen


def _hashed(text: str) -> bytes:
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode(errors="surrogateescape")).digest()


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort numbers in names by their value: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part], name
