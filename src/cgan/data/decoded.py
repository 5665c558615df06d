"""Data sets whose pictures lie in files: decoded once, kept, and mapped into memory from then on."""

import hashlib
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import PIL
import torch

from cgan.data.layout import Found, numbered
from cgan.data.pixels import Form
from cgan.data.reading import Decoder, checked_size, choose_form
from cgan.data.sources import Split, SplitName
from cgan.data.store import Stored, in_memory, keep, load_stored, store_folder
from cgan.data.trees import Tree
from cgan.errors import CganError, check_share, check_whole
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
VERSION = 5
"""Raised when the same options give other pixels, another layout or another report."""


@dataclass(kw_only=True, eq=False)
class DecodedSource(ABC):
    """Pictures of a tree of files; see :class:`cgan.data.pixels.Form` for how they are brought to one shape.

    They are decoded by several threads, once: from then on they are mapped from the cache.

    Attributes:
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

    size: int | list[int] | None = None
    channels: int | None = None
    fit: str = "crop"
    background: str = "white"
    test_share: float = 0.1
    split_seed: int = 1
    skip_unreadable: bool = False
    cache: str | None = "auto"

    def __post_init__(self) -> None:
        Form(3 if self.channels is None else self.channels, checked_size(self.size), self.fit, self.background)
        check_whole("data.split_seed", self.split_seed, 0)
        if not isinstance(self.cache, str | None):
            raise CganError(f"data.cache={self.cache}: expected auto, none or a folder")
        check_share("data.test_share", self.test_share, above=True, below=True)
        name, self.tree = self._open()
        self._fingerprint = self.tree.fingerprint()
        decides = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("root", "cache")}
        key = repr((VERSION, PIL.__version__, name, self._fingerprint, decides))
        self._store = store_folder(self.cache, hashlib.sha256(key.encode()).hexdigest()[:32])
        self._stored = load_stored(self._store)
        about = self._stored.about if self._stored else self._decoder.kinds()
        self.spec = DataSpec(name, tuple(about["shape"]), tuple(about["class_names"]), tuple(about["factors"]))

    @abstractmethod
    def _open(self) -> tuple[str, Tree]:
        """Return what the data set is called, and its files."""

    @abstractmethod
    def _find(self) -> Found:
        """Find classes and splits; called where the cache does not have them."""

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
    def _decoder(self) -> Decoder:
        layout = numbered(self._find(), self.tree.shown, self.test_share, self.split_seed)
        size, files = checked_size(self.size), [file for file, _ in layout.train]
        form, guessed = choose_form(self.tree, files, size, self.channels, self.fit, self.background)
        advice = "mend or remove it, or go on without it: data.skip_unreadable=true"
        return Decoder(self.tree, layout, form, guessed, advice, self.skip_unreadable)

    @cached_property
    def _read(self) -> Stored:
        if self._stored:
            return self._stored
        decoder = self._decoder
        kept = f", kept for the next run in {self._store.parent}" if self._store else ""
        log.info("Reading %s pictures of %s%s", f"{len(decoder.files):,}", self.spec.name, kept)
        if self._store:
            try:
                keep(self._store, decoder.chunks(), self._about)
            except OSError as error:
                log.info("Not kept for the next run: %s; name another folder with data.cache=FOLDER", error)
        return load_stored(self._store) or in_memory(decoder.chunks(), self._about, decoder.shape)

    def _about(self) -> dict[str, Any]:
        if self.tree.fingerprint() != self._fingerprint:
            raise CganError(f"{self.tree.shown}: its files changed while they were read; start again")
        return self._decoder.about()
