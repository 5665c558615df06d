"""Data sets whose pictures lie in files: decoded once, kept, and mapped into memory from then on."""

import hashlib
import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

import PIL
import torch

from cgan.data.layout import Layout
from cgan.data.pixels import Form
from cgan.data.reading import Decoder, Plan, checked_size, make_plan
from cgan.data.sources import Split, SplitName
from cgan.data.store import Stored, in_memory, keep, load_stored, store_folder
from cgan.data.trees import Tree
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
VERSION = 2
"""Raised when the same options give other pixels, another layout or another report."""


class DecodedSource:
    """Pictures of a tree of files; see :class:`cgan.data.pixels.Form` for how they are brought to one shape.

    They are decoded by several threads, once: from then on they are mapped from the cache.

    Args:
        name: What the data set is called.
        tree: The files.
        find_layout: Finds classes and splits; called where the cache does not have them.
        decides: Plain values that decide what ``find_layout`` finds.
        size: Pixels: one number for squares, ``[H, W]``, or None to choose by the pictures.
        channels: 1 grey, 3 colour, 4 colour and alpha, or None to choose by the pictures.
        fit: ``crop``, ``pad``, ``stretch`` or ``random_crop``.
        background: What transparent parts and padding show: ``white``, ``black``, ``mean`` or ``#rrggbb``.
        skip_unreadable: Go on without files that cannot be read, instead of refusing them.
        cache: Where decoded pictures are kept: ``auto``, a folder, or ``none``.

    Raises:
        CganError: An option has no such value, or ``find_layout`` raises it.
    """

    def __init__(
        self,
        name: str,
        tree: Tree,
        find_layout: Callable[[], Layout],
        decides: tuple[Any, ...],
        *,
        size: int | list[int] | None = None,
        channels: int | None = None,
        fit: str = "crop",
        background: str = "white",
        skip_unreadable: bool = False,
        cache: str | None = "auto",
    ) -> None:
        Form(channels or 3, checked_size(size), fit, background)
        self.tree = tree
        self.skip_unreadable = skip_unreadable
        self._find_layout = find_layout
        self._form = (size, channels, fit, background)
        self._fingerprint = tree.fingerprint()
        key = repr((VERSION, PIL.__version__, name, self._fingerprint, skip_unreadable, *self._form, *decides))
        self._store = store_folder(cache, hashlib.sha256(key.encode()).hexdigest()[:32])
        self._stored = load_stored(self._store)
        about = self._stored.about if self._stored else self._plan.about()
        self.spec = DataSpec(name, tuple(about["shape"]), tuple(about["class_names"]), tuple(about["factors"]))

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
        return make_plan(self.tree, self._find_layout(), *self._form)

    @cached_property
    def _read(self) -> Stored:
        if self._stored:
            return self._stored
        log.info("Reading %s pictures of %s", f"{len(self._plan.files):,}", self.spec.name)
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
