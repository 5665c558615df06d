"""Omniglot (Lake et al. 2015): 1,623 characters of 50 alphabets, each drawn by twenty people."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

import torchvision

from cgan.data.decoded import DecodedSource
from cgan.data.layout import Found
from cgan.data.trees import FolderTree, Tree
from cgan.errors import CganError, check_choice
from cgan.files import downloading_into

_PARTS = ("images_background", "images_evaluation")


@dataclass(kw_only=True, eq=False)
class OmniglotSource(DecodedSource):
    """Characters of both of the official parts, whose alphabets differ; a share of each class is kept apart.

    Attributes:
        root: The folder with ``omniglot-py/images_background/`` and ``omniglot-py/images_evaluation/``.
        classes: ``alphabet`` (50 classes) or ``character`` (1,623 classes). The other arguments are those of
            :class:`DecodedSource`.

    Raises:
        CganError: Files are missing and out of reach, or there is no such choice of classes.
    """

    root: str
    classes: str = "alphabet"
    size: int | list[int] | None = 28
    channels: int | None = 1

    def _open(self) -> tuple[str, Tree]:
        check_choice("data.classes", self.classes, ("alphabet", "character"))
        folder = Path(self.root).expanduser() / "omniglot-py"
        _download(folder)
        return f"omniglot_{self.classes}s", FolderTree(folder, f"data.root={self.root}")

    def _find(self) -> Found:
        """Read ``PART/ALPHABET/characterNN/FILE.png``."""
        found = {}
        for name in self.tree.names:
            parts = name.split("/")
            if len(parts) == 4 and parts[0] in _PARTS and parts[3].endswith(".png"):
                found[name] = parts[1] if self.classes == "alphabet" else f"{parts[1]} {parts[2]}"
        return Found({"train": found}, Counter())


def _download(folder: Path) -> None:
    for part in _PARTS:
        if not (folder / part).is_dir():
            try:
                with downloading_into(folder.parent):
                    torchvision.datasets.Omniglot(str(folder.parent), background=part == _PARTS[0], download=True)
            except (RuntimeError, OSError, ValueError) as error:
                reason = shorten(str(error), 160, placeholder=" ...")
                raise CganError(
                    f"Omniglot: no {(folder / part).absolute()}, and no download ({reason}). Place "
                    "images_background.zip and images_evaluation.zip there, unpacked, or name another folder with "
                    "data.root=FOLDER"
                ) from error
