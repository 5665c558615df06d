"""CelebA (Liu et al. 2015): faces with forty attributes, whose combinations are the classes."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cgan.config import listed
from cgan.data.decoded import DecodedSource
from cgan.data.layout import Found
from cgan.data.trees import Tree, open_tree
from cgan.errors import CganError
from cgan.spec import combine_names

_TABLES = ("list_attr_celeba.txt", "list_eval_partition.txt")
_PARTS = {"0": "train", "1": "val", "2": "test"}
_ANY = "face"


@dataclass(kw_only=True, eq=False)
class CelebaSource(DecodedSource):
    """The aligned faces, cut to the middle; each combination of the chosen attributes is a class.

    Attributes are factors: ``[Smiling, Male]`` gives the classes ``not_Smiling+not_Male``, ``not_Smiling+Male``,
    ``Smiling+not_Male`` and ``Smiling+Male``. The official validation split is left out.

    Attributes:
        root: The folder with ``celeba/img_align_celeba/`` (or the ``.zip`` of it) and the two lists.
        attributes: Names as in ``list_attr_celeba.txt``; none: one class. The other arguments are those of
            :class:`DecodedSource`.

    Raises:
        CganError: A file is missing or damaged, or there is no such attribute.
    """

    root: str
    attributes: list[str]
    tables: tuple[str, ...] = field(init=False, repr=False)  # their text decides the classes
    size: int | list[int] | None = 64
    channels: int | None = 3

    def _open(self) -> tuple[str, Tree]:
        self.attributes = listed(self.attributes)
        folder = Path(self.root).expanduser()
        folder = folder / "celeba" if (folder / "celeba").is_dir() else folder
        pictures = folder / "img_align_celeba"
        pictures = pictures if pictures.is_dir() else pictures.with_suffix(".zip")
        for path in (pictures, *(folder / table for table in _TABLES)):
            if not path.exists():
                raise CganError(
                    f"data.root={self.root}: no {path.absolute()}. Place CelebA's img_align_celeba.zip, {_TABLES[0]} "
                    f"and {_TABLES[1]} there by hand: its server lets no program download them"
                )
        self.tables = tuple((folder / table).read_text("utf-8", errors="replace") for table in _TABLES)
        return "celeba", open_tree(pictures)

    def _find(self) -> Found:
        classes, parts = self._classes(), self._parts()
        splits: dict[str, dict[str, str]] = {part: {} for part in _PARTS.values()}
        for file in self.tree.names:
            name = PurePosixPath(file).name
            if name in classes:
                splits[parts.get(name, "val")][file] = classes[name]
        if not splits["train"] or not splits["test"]:
            raise CganError(
                f"{self.tree.shown}: expected pictures of both splits as {_TABLES[1]} names them, found "
                f"{len(splits['train'])} to train on and {len(splits['test'])} to test with"
            )
        left_out = Counter({"pictures of the validation split": len(splits.pop("val"))})
        names = combine_names(*[(f"not_{attribute}", attribute) for attribute in self.attributes])
        if self.attributes and (without := sorted(set(names) - set(splits["train"].values()))):
            raise CganError(
                f"data.attributes=[{','.join(self.attributes)}]: no face to train on is {without[0]}; leave one out"
            )
        names, factors = names if self.attributes else (_ANY,), (2,) * len(self.attributes)
        return Found(splits, left_out, names, factors, "the official split")

    def _classes(self) -> dict[str, str]:
        """Read the class of each file by the table of attributes, which are 1 or -1."""
        _, *lines = self.tables[0].splitlines() or [""]  # the number of files comes first
        known = lines[0].split() if len(lines) > 1 else []
        if unknown := [name for name in self.attributes if name not in known]:
            raise CganError(f"data.attributes: {unknown[0]!r} is none of {', '.join(known) or 'an empty table'}")
        columns = [(attribute, known.index(attribute) + 1) for attribute in self.attributes]
        rows = [row for line in lines[1:] if len(row := line.split()) == len(known) + 1]
        return {
            row[0]: "+".join(name if row[column] == "1" else f"not_{name}" for name, column in columns) or _ANY
            for row in rows
        }

    def _parts(self) -> dict[str, str]:
        """Read the split of each file."""
        rows = [row for line in self.tables[1].splitlines() if len(row := line.split()) == 2]
        return {file: _PARTS.get(part, "val") for file, part in rows}
