"""Your own pictures: a folder or a zip in any of the usual layouts."""

from pathlib import Path

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Layout, find_layout
from cgan.data.trees import open_tree
from cgan.errors import CganError
from cgan.spec import is_name


class FolderSource(DecodedSource):
    """Pictures of a folder or a zip, which is read in place.

    See :func:`cgan.data.layout.find_layout` for the layouts and :class:`cgan.data.pixels.Form` for how pictures are
    brought to one shape. They are decoded once, by several threads, and mapped from the cache from then on.

    Args:
        root: The folder or zip.
        size: Pixels: one number for squares, ``[H, W]``, or None to choose by the pictures.
        channels: 1 grey, 3 colour, 4 colour and alpha, or None to choose by the pictures.
        fit: ``crop``, ``pad``, ``stretch`` or ``random_crop``.
        background: What transparent parts and padding show: ``white``, ``black``, ``mean`` or ``#rrggbb``.
        test_share: The share of each class that is kept apart where there is no test split.
        split_seed: Names which ones.
        skip_unreadable: Go on without files that cannot be read, instead of refusing them.
        cache: Where decoded pictures are kept: ``auto``, a folder, or ``none``.

    Raises:
        CganError: There are no pictures, their classes are not clear, or an option has no such value.
    """

    def __init__(
        self,
        root: str,
        size: int | list[int] | None = None,
        channels: int | None = None,
        fit: str = "crop",
        background: str = "white",
        test_share: float = 0.1,
        split_seed: int = 1,
        skip_unreadable: bool = False,
        cache: str | None = "auto",
    ) -> None:
        if not 0 < test_share < 1:
            raise CganError(f"data.test_share={test_share}: expected a share between 0 and 1")
        self.root = Path(root).expanduser()
        if cache not in (None, "auto", "none") and _within(Path(cache).expanduser(), self.root):
            raise CganError(f"data.cache={cache}: expected a folder outside of data.root={root}")
        name, tree = _name(self.root), open_tree(self.root)

        def found() -> Layout:
            return find_layout(tree, name, str(self.root), test_share, split_seed)

        super().__init__(
            name,
            tree,
            found,
            (test_share, split_seed),
            size=size,
            channels=channels,
            fit=fit,
            background=background,
            skip_unreadable=skip_unreadable,
            cache=cache,
        )


def _name(root: Path) -> str:
    """Return what the data set is called: the folder's name, or the zip's without its ending."""
    name = root.resolve().stem if root.is_file() else root.resolve().name
    return name if is_name(name) else "pictures"


def _within(path: Path, root: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())
