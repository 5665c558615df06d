"""Your own pictures: a folder or a zip in any of the usual layouts."""

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL
import torch

from cgan.data.pixels import Form
from cgan.data.reading import Decoder, Plan, checked_size, make_plan
from cgan.data.sources import Split, SplitName
from cgan.data.store import Stored, in_memory, keep, load_stored, store_folder
from cgan.data.trees import open_tree
from cgan.errors import CganError
from cgan.spec import DataSpec, is_name

log = logging.getLogger(__name__)
VERSION = 1
"""Raised when the same options give other pixels, another layout or another report."""


class FolderSource:
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
        Form(channels or 3, checked_size(size), fit, background)
        self.root = Path(root).expanduser()
        self.skip_unreadable = skip_unreadable
        self.tree = open_tree(self.root)
        self._fingerprint = self.tree.fingerprint()
        self._options: dict[str, Any] = {
            "name": _name(self.root),
            "size": size,
            "channels": channels,
            "fit": fit,
            "background": background,
            "test_share": test_share,
            "split_seed": split_seed,
        }
        key = repr((VERSION, PIL.__version__, self._fingerprint, skip_unreadable, *self._options.values()))
        self._store = store_folder(cache, hashlib.sha256(key.encode()).hexdigest()[:32])
        self._stored = load_stored(self._store)
        about = self._stored.about if self._stored else self._plan.about()
        self.spec = DataSpec(_name(self.root), tuple(about["shape"]), tuple(about["class_names"]))

    @property
    def report(self) -> list[str]:
        """Three lines: the pictures per class and split, what was found, what was made of it and left out."""
        return self._read.about["report"]

    @property
    def files(self) -> list[str]:
        """The files' names, in the order of the pictures: those to train on first."""
        return self._read.about["files"]

    def prepare(self) -> None:
        """Decode the pictures, unless the cache has them.

        Raises:
            CganError: A file is not a readable picture.
        """
        self._read  # noqa: B018

    def load(self, split: SplitName) -> Split:
        """Return one split, mapped from the cache.

        Raises:
            CganError: A file is not a readable picture.
        """
        about, images = self._read
        labels, train = torch.tensor(about["labels"], dtype=torch.int64), about["train"]
        chosen = slice(0, train) if split == "train" else slice(train, None)
        return Split(images[chosen], labels[chosen])

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(self.tree, **self._options)

    @cached_property
    def _read(self) -> Stored:
        if self._stored:
            return self._stored
        log.info("Reading %s pictures of %s", f"{len(self._plan.files):,}", self.root)
        if self._store:
            try:
                decoder = self._decoder()
                keep(self._store, decoder.chunks(), decoder.about)
            except OSError as error:
                log.info("Not kept for the next run: %s; name another folder with data.cache=FOLDER", error)
        decoder = self._decoder()
        return load_stored(self._store) or in_memory(decoder.chunks(), decoder.about, decoder.shape)

    def _decoder(self) -> Decoder:
        return Decoder(self.tree, self._plan, self._fingerprint, self.skip_unreadable)


def _name(root: Path) -> str:
    """Return what the data set is called: the folder's name, or the zip's without its ending."""
    name = root.resolve().stem if root.is_file() else root.resolve().name
    return name if is_name(name) else "pictures"
