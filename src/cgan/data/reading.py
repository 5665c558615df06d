"""Reading the pictures of a folder or a zip: what is to be read, and its decoding by several threads."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np

from cgan.data.layout import Layout
from cgan.data.pixels import Form, Picture, UnreadablePictureError, picture_header, read_picture
from cgan.data.report import Tally, describe_left_out, per_class
from cgan.data.trees import Tree
from cgan.errors import CganError
from cgan.hardware import available_cores

MAX_SIZE = 4096
LARGEST_GUESS = 64
"""Pixels: what a small network learns within hours; larger pictures are asked for by ``data.size``."""
_SAMPLED = 64
_CHUNK_BYTES = 2**22


def choose_form(
    tree: Tree, files: Sequence[str], size: tuple[int, int] | None, channels: int | None, fit: str, background: str
) -> tuple[Form, list[str]]:
    """Return what pictures are brought to, and which of ``size`` and ``channels`` were None: a sample decides them."""
    guessed = [word for word, value in (("size", size), ("channels", channels)) if value is None]
    if guessed:
        sizes, grey = _sampled(tree, files)
        size, channels = size or guessed_size(sizes), channels or (1 if grey else 3)
    assert channels is not None
    return Form(channels, size, fit, background), guessed


def checked_size(size: Any) -> tuple[int, int] | None:
    """Read ``data.size``: a number, ``[H, W]`` or None.

    Raises:
        CganError: It is something else.
    """
    if size is None:
        return None
    pair = [size, size] if type(size) is int else size
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(v) is int and 0 < v <= MAX_SIZE for v in pair):
        raise CganError(
            f"data.size={size}: expected pixels as 64, or as [48,64] for height and width, up to {MAX_SIZE}"
        )
    return pair[0], pair[1]


def guessed_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Choose (H, W) for pictures of (W, H): their own if it is one and small, else a square of 32 or 64.

    Networks need multiples of 4.
    """
    width, height = sizes[0]
    if len(set(sizes)) == 1 and max(width, height) <= LARGEST_GUESS:
        return max(4, height // 4 * 4), max(4, width // 4 * 4)
    side = LARGEST_GUESS if median(min(size) for size in sizes) >= LARGEST_GUESS else 32
    return side, side


def _sampled(tree: Tree, files: Sequence[str]) -> tuple[list[tuple[int, int]], bool]:
    """Return the (W, H) of some pictures, and whether all of these are grey."""
    headers = []
    for file in files[:: max(1, len(files) // _SAMPLED)]:
        try:
            headers.append(picture_header(tree.read(file)))
        except Exception:  # it is named when all are read
            continue
    if not headers:
        return [(32, 32)], False
    return [size for size, _ in headers], all(grey for _, grey in headers)


class Decoder:
    """Decode the pictures of a layout, those to train on first.

    Args:
        tree: Their files.
        layout: Their names, labels and splits.
        form: What they are brought to; it has a size.
        guessed: Which parts of the form were chosen by the pictures: ``size``, ``channels``.
        advice: What errors say of a file that cannot be read.
        skip_unreadable: Leave out what cannot be read.
    """

    def __init__(
        self,
        tree: Tree,
        layout: Layout,
        form: Form,
        guessed: Sequence[str] = (),
        advice: str = "mend or remove it",
        skip_unreadable: bool = False,
    ) -> None:
        assert form.size is not None
        self.tree = tree
        self.layout = layout
        self.form = form
        self.guessed = guessed
        self.advice = advice
        self.skip_unreadable = skip_unreadable
        self.files = [file for file, _ in layout.train + layout.test]
        self.shape = (len(self.files), form.channels, *form.size)

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield arrays (n, C, H, W) uint8 in the order of the layout.

        Raises:
            CganError: A file cannot be read, and that is not to be skipped; or all pixels are 0 and 1, as in masks.
        """
        self._tally, brightest = Tally(self.form), 0
        count = max(1, min(64, _CHUNK_BYTES // math.prod(self.shape[1:])))
        parts = [self.files[start : start + count] for start in range(0, len(self.files), count)]
        for part, read in zip(parts, _ahead(self._read_all, parts), strict=True):
            if sound := [picture.pixels for picture in map(self._counted, part, read) if picture is not None]:
                chunk = np.stack(sound)
                brightest = max(brightest, int(chunk.max()))
                yield chunk
        if brightest == 1:
            raise CganError(f"{self.tree.shown}: expected pixels in 0..255, found only 0 and 1; multiply them by 255")

    def about(self) -> dict[str, Any]:
        """Describe the data set: its shape and classes and, after the last chunk, what was read.

        Raises:
            CganError: A class has no readable picture to train on, or there is none to test with.
        """
        names, unreadable = self.layout.class_names, set(self._tally.unreadable)
        train, test = ([entry for entry in part if entry[0] not in unreadable] for part in self.layout[:2])
        labels = [label for _, label in train + test]
        train_labels = np.array(labels[: len(train)], dtype=np.int64)
        if not (counts := np.bincount(train_labels, minlength=len(names))).all():
            bare = names[counts.argmin()]
            raise CganError(
                f"{self.tree.shown}: class {bare!r} has no picture that can be read; mend one, or remove it"
            )
        if not test:
            raise CganError(f"{self.tree.shown}: no picture is left to test with; give a class two or more")
        report = [
            f"Pictures: {len(train):,} to train on, {len(test):,} to test with ({self.layout.test_note}); "
            f"{per_class(train_labels, names)}",
            f"Found:    {self._tally.found()}",
            f"Used as:  {self.made()}",
        ]
        files = [file for file, _ in train + test]
        return {**self.kinds(), "files": files, "labels": labels, "train": len(train), "report": report}

    def kinds(self) -> dict[str, Any]:
        """Return the shape, the names of the classes and their factors, known before anything is decoded."""
        layout = self.layout
        return {"shape": self.shape[1:], "class_names": layout.class_names, "factors": layout.factors}

    def made(self) -> str:
        """Say what was made of the pictures, and what was left out, after the last chunk."""
        return self._tally.made(self.guessed) + describe_left_out(self.layout.left_out, self._tally.unreadable)

    def _read_all(self, files: list[str]) -> list[Picture | UnreadablePictureError]:
        return [self._read(file) for file in files]

    def _read(self, file: str) -> Picture | UnreadablePictureError:
        try:
            return read_picture(self.tree.read(file), self.form, file)
        except UnreadablePictureError as error:
            return error
        except Exception as error:  # a damaged zip, a file without permission
            return UnreadablePictureError(file, f"a file that cannot be read ({error})")

    def _counted(self, file: str, picture: Picture | UnreadablePictureError) -> Picture | None:
        if isinstance(picture, Picture):
            self._tally.add(picture)
            return picture
        if not self.skip_unreadable:
            where = UnreadablePictureError(self.tree.path_of(file), picture.found)
            raise CganError(f"{where}; {self.advice}") from picture
        self._tally.unreadable.append(file)
        return None


def _ahead(work: Any, parts: Sequence[Any]) -> Iterator[Any]:
    """Yield ``work(part)`` in order, computed by as many threads as there are cores, a few parts ahead."""
    threads = available_cores()
    waiting: deque[Future] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
