"""Your own pictures: a folder or a zip in any of the usual layouts."""

from dataclasses import dataclass
from pathlib import Path

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Layout, find_layout
from cgan.data.trees import Tree, open_tree
from cgan.errors import CganError
from cgan.spec import is_name


@dataclass(eq=False)
class FolderSource(DecodedSource):
    """Pictures of a folder or a zip, which is read in place; see :func:`cgan.data.layout.find_layout` for the layouts.

    Attributes:
        root: The folder or zip. The other arguments are those of :class:`DecodedSource`.

    Raises:
        CganError: As :class:`DecodedSource`.
    """

    root: str

    def _open(self) -> tuple[str, Tree]:
        root = Path(self.root).expanduser()
        if self.cache not in (None, "auto", "none") and _within(Path(self.cache).expanduser(), root):
            raise CganError(f"data.cache={self.cache}: expected a folder outside of data.root={self.root}")
        return _name(root), open_tree(root)

    def _find_layout(self) -> Layout:
        name = _name(Path(self.root).expanduser())
        return find_layout(self.tree, name, self.root, self.test_share, self.split_seed)


def _name(root: Path) -> str:
    """Return what the data set is called: the folder's name, or the zip's without its ending."""
    name = root.resolve().stem if root.is_file() else root.resolve().name
    return name if is_name(name) else "pictures"


def _within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
