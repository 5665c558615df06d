"""Labelled pictures of the Hugging Face hub, or of a folder in the hub's layout."""

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgan.data.decoded import DecodedSource
from cgan.data.layout import SPLITS, Layout, assembled
from cgan.errors import CganError
from cgan.spec import is_name

if TYPE_CHECKING:
    from datasets import Dataset


class HubTree:
    """The pictures of a data set, named ``SPLIT/ROW``; their files are not decoded here.

    Args:
        name: What errors call the data set.
        splits: By name.
        column: The column of pictures.
    """

    def __init__(self, name: str, splits: "dict[str, Dataset]", column: str) -> None:
        from datasets import Image

        self.name = name
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
        """Return the bytes of a picture's file; none where a row has no picture."""
        split, row = name.split("/")
        picture = self.splits[split][int(row)][self.column] or {}
        if picture.get("bytes") is None and picture.get("path"):
            return Path(picture["path"]).read_bytes()
        return picture.get("bytes") or b""

    def path_of(self, name: str) -> str:
        """Return the data set, split and row."""
        return f"{self.name}/{name}".rstrip("/")


class HubSource(DecodedSource):
    """A data set ``USER/NAME`` of the hub with a column of pictures and, unless it has one class, a column of labels.

    The hub's own layouts (Parquet, folders of pictures) are read; no code of a data set is run.

    Args:
        name: ``USER/NAME``, or a folder.
        config: Which of the data set's configurations, if it has several.
        revision: A branch, tag or commit.
        image: The column of pictures; None: the only one.
        label: The column of labels; None: the only column of class labels, or the one called ``label``.
        size: Pixels: one number for squares, ``[H, W]``, or None to choose by the pictures.
        channels: 1 grey, 3 colour, 4 colour and alpha, or None to choose by the pictures.
        fit: ``crop``, ``pad``, ``stretch`` or ``random_crop``.
        background: What transparent parts and padding show: ``white``, ``black``, ``mean`` or ``#rrggbb``.
        test_share: The share of each class that is kept apart where there is no test split.
        split_seed: Names which ones.
        skip_unreadable: Go on without files that cannot be read, instead of refusing them.
        cache: Where decoded pictures are kept: ``auto``, a folder, or ``none``.

    Raises:
        CganError: The data set cannot be had, or has no such columns.
    """

    def __init__(
        self,
        name: str,
        config: str | None = None,
        revision: str | None = None,
        image: str | None = None,
        label: str | None = None,
        size: int | list[int] | None = None,
        channels: int | None = None,
        fit: str = "crop",
        background: str = "white",
        test_share: float = 0.1,
        split_seed: int = 1,
        skip_unreadable: bool = False,
        cache: str | None = "auto",
    ) -> None:
        splits = _load(name, config, revision)
        features = next(iter(splits.values())).features
        image = _column(name, "image", image, features, ("Image",))
        label = _column(name, "label", label, features, ("ClassLabel",), optional=True)
        tree = HubTree(name, splits, image)
        called = Path(name).name if is_name(Path(name).name) else "hub"

        def find_layout() -> Layout:
            classes = {split: _classes(rows, split, label, called) for split, rows in splits.items()}
            return assembled(classes, Counter(), f"data.name={name}", test_share, split_seed)

        super().__init__(
            called,
            tree,
            find_layout,
            (image, label, test_share, split_seed),
            size=size,
            channels=channels,
            fit=fit,
            background=background,
            skip_unreadable=skip_unreadable,
            cache=cache,
        )


def _load(name: str, config: str | None, revision: str | None) -> "dict[str, Dataset]":
    """Return the splits by the names train, val and test."""
    try:
        import datasets
    except ImportError as error:
        raise CganError("data=hub: install the library datasets: pip install 'cgan[hub]'") from error
    try:
        with open(os.devnull, "w") as quiet, contextlib.redirect_stderr(quiet):  # its own progress bars
            found = datasets.load_dataset(name, config, revision=revision)
    except Exception as error:  # of the network, of the hub, of damaged files: each library below has its own
        raise CganError(
            f"data.name={name}: cannot load it ({' '.join(str(error).split())[:200]}); expected USER/NAME of the hub "
            "and a network, or a folder with data/train-*.parquet"
        ) from error
    splits = {SPLITS[split]: rows for split, rows in found.items() if split in SPLITS}
    if "train" not in splits:
        raise CganError(f"data.name={name}: expected a split called train, found {', '.join(map(str, found))}")
    return splits


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
