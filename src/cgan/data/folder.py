"""Your own pictures: a folder or a zip in any of the usual layouts."""

from dataclasses import dataclass
from pathlib import Path

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Found, find_layout
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
        cache = None if self.cache in (None, "auto", "none") else Path(self.cache).expanduser().resolve()
        if cache and cache.is_relative_to(root.resolve()):
            raise CganError(f"data.cache={self.cache}: expected a folder outside of data.root={self.root}")
        name = root.resolve().stem if root.is_file() else root.resolve().name
        self._name = name if is_name(name) else "pictures"
        return self._name, open_tree(root)

    def _find(self) -> Found:
        return find_layout(self.tree, self._name)
