"""Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, each drawn by twenty people."""

from collections import Counter
from pathlib import Path

import torchvision

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Layout, assembled
from cgan.data.trees import FolderTree, Tree
from cgan.errors import CganError

_PARTS = ("images_background", "images_evaluation")


class OmniglotSource(DecodedSource):
    """Characters of both of the official parts, whose alphabets differ; a share of each class is kept apart.

    Args:
        root: The folder with ``omniglot-py/images_background/`` and ``omniglot-py/images_evaluation/``.
        classes: ``alphabet`` (50 classes) or ``character`` (1,623 classes).
        size: Pixels: one number for squares, or ``[H, W]``.
        test_share: The share of each class that is kept apart.
        split_seed: Names which ones.
        cache: Where decoded pictures are kept: ``auto``, a folder, or ``none``.

    Raises:
        CganError: Files are missing and out of reach, or there is no such choice of classes.
    """

    def __init__(
        self,
        root: str,
        classes: str = "alphabet",
        size: int | list[int] = 28,
        test_share: float = 0.1,
        split_seed: int = 1,
        cache: str | None = "auto",
    ) -> None:
        if classes not in ("alphabet", "character"):
            raise CganError(f"data.classes={classes}: expected alphabet or character")
        folder = Path(root).expanduser() / "omniglot-py"
        _download(folder)
        tree = FolderTree(folder)
        super().__init__(
            f"omniglot_{classes}s",
            tree,
            lambda: _layout(tree, classes, test_share, split_seed),
            (test_share, split_seed),
            size=size,
            channels=1,
            cache=cache,
        )


def _download(folder: Path) -> None:
    for part in _PARTS:
        if not (folder / part).is_dir():
            try:
                torchvision.datasets.Omniglot(str(folder.parent), background=part == _PARTS[0], download=True)
            except (RuntimeError, OSError, ValueError) as error:
                raise CganError(
                    f"Omniglot: no {(folder / part).absolute()}, and no download ({error:.160}). Place "
                    "images_background.zip and images_evaluation.zip there, unpacked, or name another folder with "
                    "data.root=FOLDER"
                ) from error


def _layout(tree: Tree, classes: str, test_share: float, split_seed: int) -> Layout:
    """Read ``PART/ALPHABET/characterNN/FILE.png``."""
    found = {}
    for name in tree.names:
        parts = name.split("/")
        if len(parts) == 4 and parts[0] in _PARTS and parts[3].endswith(".png"):
            found[name] = parts[1] if classes == "alphabet" else f"{parts[1]} {parts[2]}"
    return assembled({"train": found}, Counter(), tree.path_of(""), test_share, split_seed)
