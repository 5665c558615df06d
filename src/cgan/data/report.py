"""What a folder of pictures holds and what was made of it, in three lines."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from cgan.data.pixels import Form, Picture
from cgan.errors import printable

IMBALANCE = 10
"""Classes that differ more than this, as a factor, are named."""


class Tally:
    """Counts of what was found in pictures and done to them.

    Args:
        form: What they are brought to; its size is not None.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.sizes = Counter[tuple[int, int]]()
        self.kinds = Counter[str]()
        self.unreadable: list[str] = []

    def add(self, picture: Picture) -> None:
        """Count a picture."""
        self.sizes[picture.size] += 1
        self.kinds.update([picture.mode, *picture.notes])

    def found(self) -> str:
        """Say sizes (W x H) and kinds."""
        sizes = [f"{w}x{h}" for (w, h), _ in self.sizes.most_common(3)]
        if len(self.sizes) > 3:
            areas = sorted(self.sizes, key=lambda size: size[0] * size[1])
            (w, h), (most_w, most_h) = areas[0], areas[-1]
            sizes = [f"{len(areas)} sizes from {w}x{h} to {most_w}x{most_h}"]
        total = sum(self.sizes.values())
        kinds = [kind if count == total else f"{count:,} {kind}" for kind, count in self.kinds.most_common()]
        return f"{' and '.join(sizes)} pixels; {', '.join(kinds)}"

    def made(self, guessed: Sequence[str]) -> str:
        """Say what the pictures were brought to, and how many in which way."""
        assert self.form.size is not None
        height, width = self.form.size
        done = Counter[str]()
        for (w, h), count in self.sizes.items():
            same_shape = w * height == h * width
            done[
                "as they are" if (w, h) == (width, height) else "scaled" if same_shape else _FITTED[self.form.fit]
            ] += count
        ways = [way if len(done) == 1 else f"{count:,} {way}" for way, count in done.most_common()]
        chosen = f" ({' and '.join(guessed)} chosen by these pictures: {_KEYS})" if guessed else ""
        laid = (
            f", transparent parts {self.form.background}"
            if self.kinds["transparent"] and self.form.channels < 4
            else ""
        )
        shape = f"{width}x{height}" if width == height else f"{width}x{height} (width and height)"
        return f"{shape}, {_COLOURS[self.form.channels]}{chosen}; {', '.join(ways)}{laid}"


_KEYS = "data.size=64 or [48,64] for height and width, data.channels=1, 3 or 4"
_COLOURS = {1: "grey", 3: "colour", 4: "colour and alpha"}
_FITTED = {
    "crop": "scaled and cut to the middle",
    "random_crop": "scaled and each cut once, at a random place",
    "pad": "scaled and padded",
    "stretch": "stretched out of proportion",
}


def per_class(labels: np.ndarray, class_names: Sequence[str]) -> str:
    """Say how many pictures the classes have: the least and the most."""
    if len(class_names) == 1:
        return "one class (unconditional)"
    counts = np.bincount(labels, minlength=len(class_names))
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] == counts[most]:
        return f"{len(class_names):,} classes of {counts[least]:,}"
    extremes = [f"{counts[label]:,} ({class_names[label]})" for label in (least, most)]
    return f"{len(class_names):,} classes of {' to '.join(extremes)}"


def imbalance(labels: np.ndarray, class_names: Sequence[str]) -> str | None:
    """Say that classes differ much in size; None where they do not."""
    counts = np.bincount(labels, minlength=len(class_names))
    if counts.max() <= IMBALANCE * counts.min():
        return None
    return (
        f"Classes differ more than tenfold ({counts.min():,} to {counts.max():,} pictures); data.balance=true shows "
        "them equally often"
    )


def describe_left_out(counts: Counter[str], unreadable: Sequence[str] = ()) -> str:
    """Say how many files were left out and why, as the end of a sentence; empty where none was."""
    parts = [f"{count:,} {reason}" for reason, count in counts.items() if count]
    if unreadable:
        parts.append(f"{len(unreadable):,} unreadable ({', '.join(unreadable[:3])}{', ...' if unreadable[3:] else ''})")
    return printable(f"; left out: {', '.join(parts)}") if parts else ""
