"""Reading the pictures of a folder or a zip: what is to be read, and its decoding by several threads."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class Plan:
    """What is to be read and how.

    Attributes:
        layout: The files with their classes and splits.
        form: What they are brought to.
        guessed: Which parts of the form were chosen by the pictures: ``size``, ``channels``.
    """

    layout: Layout
    form: Form
    guessed: list[str]

    @cached_property
    def files(self) -> list[tuple[str, int]]:
        """Names of files and their labels, those to train on first."""
        return self.layout.train + self.layout.test

    def about(self) -> dict[str, Any]:
        """Return the shape, the names of the classes and their factors."""
        return {"shape": self.shape, "class_names": self.layout.class_names, "factors": self.layout.factors}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        assert self.form.size is not None
        return self.form.channels, *self.form.size


def make_plan(
    tree: Tree, layout: Layout, size: int | list[int] | None, channels: int | None, fit: str, background: str
) -> Plan:
    """Choose the size and channels that are None by a sample of the pictures."""
    guessed = [word for word, value in (("size", size), ("channels", channels)) if value is None]
    chosen = checked_size(size)
    if guessed:
        sizes, grey = _sampled(tree, [file for file, _ in layout.train])
        chosen = chosen or guessed_size(sizes)
        channels = channels or (1 if grey else 3)
    assert channels is not None
    return Plan(layout, Form(channels, chosen, fit, background), guessed)


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
    """Decode the pictures of a plan, once.

    Args:
        tree: Their files.
        plan: What is read.
        advice: What errors say of a file that cannot be read.
        fingerprint: Of the tree when the plan was made.
        skip_unreadable: Leave out what cannot be read.
    """

    def __init__(
        self, tree: Tree, plan: Plan, advice: str, fingerprint: str = "", skip_unreadable: bool = False
    ) -> None:
        self.tree = tree
        self.plan = plan
        self.advice = advice
        self.fingerprint = fingerprint
        self.skip_unreadable = skip_unreadable
        self.shape = (len(plan.files), *plan.shape)
        self._tally = Tally(plan.form)
        self._kept: list[tuple[str, int]] = []
        self._kept_to_train = 0

    def chunks(self) -> Iterator[np.ndarray]:
        """Yield arrays (n, C, H, W) uint8 in the order of the plan.

        Raises:
            CganError: A file cannot be read, and that is not to be skipped; or all pixels are 0 and 1, as in masks.
        """
        brightest = 0
        files = self.plan.files
        count = max(1, min(64, _CHUNK_BYTES // int(np.prod(self.plan.shape))))
        parts = [files[start : start + count] for start in range(0, len(files), count)]
        for part, read in zip(parts, _ahead(self._read_all, parts), strict=True):
            pictures = [self._counted(*entry, picture) for entry, picture in zip(part, read, strict=True)]
            if sound := [picture.pixels for picture in pictures if picture is not None]:
                chunk = np.stack(sound)
                brightest = max(brightest, int(chunk.max()))
                yield chunk
        if brightest == 1:
            raise CganError(f"{self.tree.path_of('')}: expected pixels in 0..255, found only 0 and 1")

    def about(self) -> dict[str, Any]:
        """Describe what was read, after the last chunk.

        Raises:
            CganError: A class has no readable picture to train on, or the files changed meanwhile.
        """
        if self.tree.fingerprint() != self.fingerprint:
            raise CganError(f"{self.tree.path_of('')}: its files changed while they were read; start again")
        files, labels = [file for file, _ in self._kept], np.array([label for _, label in self._kept], dtype=np.int64)
        names, train = self.plan.layout.class_names, self._kept_to_train
        counts = np.bincount(labels[:train], minlength=len(names))
        if not counts.all():
            raise CganError(
                f"{self.tree.path_of('')}: class {names[counts.argmin()]!r} has no picture that can be read"
            )
        return {
            **self.plan.about(),
            "files": files,
            "labels": labels.tolist(),
            "train": train,
            "report": self._report(labels[:train], len(labels) - train),
        }

    def _report(self, train_labels: np.ndarray, tested: int) -> list[str]:
        layout = self.plan.layout
        return [
            f"Pictures: {len(train_labels):,} to train on, {tested:,} to test with ({layout.test_note}); "
            f"{per_class(train_labels, layout.class_names)}",
            f"Found:    {self._tally.found()}",
            f"Used as:  {self.made()}",
        ]

    def made(self) -> str:
        """Say what was made of the pictures, and what was left out, after the last chunk."""
        left_out = describe_left_out(self.plan.layout.left_out, self._tally.unreadable)
        return f"{self._tally.made(self.plan.guessed)}{left_out}"

    def _read_all(self, files: list[tuple[str, int]]) -> list[Picture | UnreadablePictureError]:
        return [self._read(file) for file, _ in files]

    def _read(self, file: str) -> Picture | UnreadablePictureError:
        try:
            return read_picture(self.tree.read(file), self.plan.form, file)
        except UnreadablePictureError as error:
            return error
        except Exception as error:  # a damaged zip, a file without permission
            return UnreadablePictureError(file, f"a file that cannot be read ({error})")

    def _counted(self, file: str, label: int, picture: Picture | UnreadablePictureError) -> Picture | None:
        if isinstance(picture, UnreadablePictureError):
            if not self.skip_unreadable:
                where = UnreadablePictureError(self.tree.path_of(file), picture.found)
                raise CganError(f"{where}; {self.advice}") from picture
            self._tally.unreadable.append(file)
            return None
        self._tally.add(picture)
        self._kept_to_train += len(self._kept) + len(self._tally.unreadable) < len(self.plan.layout.train)
        self._kept.append((file, label))
        return picture


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
