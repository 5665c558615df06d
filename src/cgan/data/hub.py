"""Labelled pictures of the Hugging Face hub, or of a folder in the hub's layout."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgan.data.decoded import DecodedSource
from cgan.data.layout import SPLITS, Found, class_name
from cgan.data.trees import Tree, read_whole
from cgan.errors import CganError
from cgan.spec import is_name

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)
PATIENCE = 5
"""Seconds that the hub has to answer."""
MAX_ROWS = 2**22
"""A small Parquet file can claim any number of empty rows; this many take some 300 MB as names."""


class HubTree:
    """The pictures of a data set, named ``SPLIT/ROW``; their files are not decoded here.

    Args:
        name: The data set, or its folder.
        splits: By name.
        column: The column of pictures.
    """

    def __init__(self, name: str, splits: "dict[str, Dataset]", column: str) -> None:
        from datasets import Image

        self.name = name
        self.shown = f"data.name={name}"
        self.column = column
        self.splits = {split: rows.cast_column(column, Image(decode=False)) for split, rows in splits.items()}

    @property
    def names(self) -> list[str]:
        """``SPLIT/ROW`` of every row."""
        return [f"{split}/{row}" for split, rows in self.splits.items() for row in range(len(rows))]

    def fingerprint(self) -> str:
        """Return what the library knows the files and columns by."""
        return " ".join(f"{split} {rows._fingerprint}" for split, rows in self.splits.items())

    def read(self, name: str) -> bytes:
        """Return the bytes of a picture's file; none where a row has no picture.

        Raises:
            OSError: The row names a file that is none, or is not of the data set.
        """
        split, row = name.split("/")
        picture = self.splits[split][int(row)][self.column] or {}
        if picture.get("bytes") is None and picture.get("path"):
            return self._read(Path(picture["path"]).resolve())
        return picture.get("bytes") or b""

    def _read(self, path: Path) -> bytes:
        """Read a file that a row names, which may be untrusted: nothing outside of the data set and the caches."""
        from datasets import config
        from huggingface_hub import constants

        places = (self.name, config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
        if not any(path.is_relative_to(Path(place).resolve()) for place in places):
            raise OSError(f"{path} is outside of the data set")
        return read_whole(path)

    def path_of(self, name: str) -> str:
        """Return the data set, split and row."""
        return f"{self.shown}/{name}"


@dataclass(kw_only=True, eq=False)
class HubSource(DecodedSource):
    """A data set ``USER/NAME`` of the hub with a column of pictures and, unless it has one class, a column of labels.

    The hub's own layouts (Parquet, folders of pictures) are read; no code of a data set is run.

    Attributes:
        name: ``USER/NAME``, or a folder.
        config: Which of the data set's configurations, if it has several.
        revision: A branch, tag or commit.
        image: The column of pictures; None: the only one.
        label: The column of labels; None: the only column of class labels, or the one called ``label``. The other
            arguments are those of :class:`DecodedSource`.

    Raises:
        CganError: The data set cannot be had, or has no such columns; and as :class:`DecodedSource`.
    """

    name: str
    config: str | None = None
    revision: str | None = None
    image: str | None = None
    label: str | None = None

    def _open(self) -> tuple[str, Tree]:
        self._splits = _load(self.name, self.config, self.revision)
        features = next(iter(self._splits.values())).features
        image = _column(self.name, "image", self.image, features, ("Image",))
        self._label = _column(self.name, "label", self.label, features, ("ClassLabel",), optional=True)
        short = Path(self.name).name
        self._name = short if is_name(short) else "hub"
        return self._name, HubTree(self.name, self._splits, image)

    def _find(self) -> Found:
        classes = {split: _classes(rows, split, self._label, self._name) for split, rows in self._splits.items()}
        for found in classes.values():
            named = {name: class_name(f"data.name={self._name}", name) for name in set(found.values())}
            found |= {row: named[name] for row, name in found.items()}
        left_out = sum(map(len, self._splits.values())) - sum(map(len, classes.values()))
        return Found(classes, Counter({"rows without a label": left_out}))


def _load(name: str, config: str | None, revision: str | None) -> "dict[str, Dataset]":
    """Return the splits by the names train, val and test."""
    try:
        import datasets
    except ImportError as error:
        raise CganError("data=hub: install the library datasets: pip install 'cgan[hub]'") from error
    unreachable = None if Path(name).exists() else _unreachable()
    try:
        with _quiet(), _offline(unreachable is not None):
            found = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # of the network, of the hub, of damaged files: each library below has its own
        raise CganError(
            f"data.name={name}: cannot load it ({' '.join((unreachable or str(error)).split())[:200]}); expected "
            "USER/NAME of the hub and a network, or a folder with data/train-*.parquet"
        ) from error
    if unreachable:
        log.info("%s; %s is the newest copy in the cache", unreachable, name)
    splits = {SPLITS[split]: rows for split, rows in found.items() if split in SPLITS}
    if "train" not in splits:
        raise CganError(f"data.name={name}: expected a split called train, found {', '.join(map(str, found))}")
    if (rows := sum(map(len, splits.values()))) > MAX_ROWS:
        raise CganError(f"data.name={name}: {rows:,} rows, expected at most {MAX_ROWS:,}; use a part of them")
    return splits


def _unreachable() -> str | None:
    """Say that the hub cannot be reached; None if it can. Its library would try for half a minute."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception as error:  # of the library below, which its versions change, or of HF_HUB_OFFLINE
        return f"{constants.ENDPOINT} cannot be reached: {error}"
    return None


@contextmanager
def _offline(offline: bool) -> Iterator[None]:
    """Let the library look in its cache alone, if it is to be ``offline``."""
    from datasets import config

    before, config.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE, offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's progress bars from the terminal."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        yield


def _column(
    name: str, key: str, chosen: str | None, features: Any, kinds: tuple[str, ...], optional: bool = False
) -> Any:
    """Return the column that was chosen, else the only one of a kind, else the one called as its key."""
    fitting = [column for column, kind in features.items() if type(kind).__name__ in kinds]
    column = chosen or (fitting[0] if len(fitting) == 1 else key if key in features else None)
    if column in features or (column is None and optional):
        return column
    raise CganError(f"data.{key}={chosen}: {name} has the columns {', '.join(features)}; name one of them")


def _classes(rows: "Dataset", split: str, label: str | None, only: str) -> dict[str, str]:
    """Return the class of each row by its name in the tree; rows without a label are left out."""
    if label is None:
        return {f"{split}/{row}": only for row in range(len(rows))}
    kind = rows.features[label]
    word = kind.int2str if hasattr(kind, "int2str") else str
    return {
        f"{split}/{row}": word(value)
        for row, value in enumerate(rows[label])
        if value is not None and value != -1  # the hub's word for an unlabelled row
    }
