"""CelebA (Liu et al. 2015): faces with forty attributes, whose combinations are the classes."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Layout
from cgan.data.trees import Tree, open_tree
from cgan.errors import CganError
from cgan.spec import combine_names

_TABLES = ("list_attr_celeba.txt", "list_eval_partition.txt")
_TRAIN, _TEST = "0", "2"


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

    def _find_layout(self) -> Layout:
        return _layout(self.tree, self.attributes, *self.tables)


def _layout(tree: Tree, attributes: list[str], attribute_table: str, partition_table: str) -> Layout:
    lines = attribute_table.splitlines()
    columns = _columns(lines, attributes)
    rows = (line.split() for line in lines[2:])
    labels = {row[0]: _label(row, columns) for row in rows if len(row) == len(lines[1].split()) + 1}
    part_of = dict(line.split() for line in partition_table.splitlines() if len(line.split()) == 2)
    parts: dict[str, list[tuple[str, int]]] = {}
    for file in tree.names:
        name = PurePosixPath(file).name
        if name in labels:
            parts.setdefault(part_of.get(name, ""), []).append((file, labels[name]))
    train, test = parts.pop(_TRAIN, []), parts.pop(_TEST, [])
    if not train or not test:
        raise CganError(
            f"{tree.path_of('')}: expected pictures of both splits as {_TABLES[1]} names them, found {len(train)} to "
            f"train on and {len(test)} to test with"
        )
    names = combine_names(*[(f"not_{attribute}", attribute) for attribute in attributes])
    left_out = Counter({"pictures of the validation split": sum(map(len, parts.values()))})
    factors = (2,) * len(attributes)
    return Layout(names if attributes else ("face",), train, test, +left_out, "the official split", factors)


def _columns(lines: list[str], attributes: list[str]) -> list[int]:
    """Return the columns of the chosen attributes; the first column has the files' names."""
    known = lines[1].split() if len(lines) > 2 else []
    if unknown := [name for name in attributes if name not in known]:
        raise CganError(f"data.attributes: {unknown[0]!r} is none of {', '.join(known) or 'an empty table'}")
    return [known.index(name) + 1 for name in attributes]


def _label(row: list[str], columns: list[int]) -> int:
    """Read the attributes, 1 or -1, as a binary number; the last one changes fastest."""
    label = 0
    for column in columns:
        label = 2 * label + (row[column] == "1")
    return label
