"""What a data set is made of, and the only place that turns stored pixels into network values and back."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from random import Random
from reprlib import repr  # short, whatever nests in an untrusted value
from typing import Any

import torch
from torch import Tensor

from cgan.errors import CganError, is_printable

MAX_SHOWN = 20
"""Classes in an image grid."""
MAX_CLASSES = 10_000
"""Of a data set; files that name more are refused."""


@dataclass(frozen=True)
class DataSpec:
    """The sizes and names that follow from a data set.

    Attributes:
        name: What the data set is called, for example ``"mnist"``.
        img_shape: ``(C, H, W)``.
        class_names: One name per class; the position is the label.
        factors: Lengths of the factors whose combinations are the classes, such as (10, 10, 10) for stacks of three
            digits; the last one changes fastest in a label. By default one factor: the classes themselves.
        grouped: The classes are groups of alike images, found without labels.

    Raises:
        CganError: The factors have another number of combinations than there are classes.
    """

    name: str
    img_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    factors: tuple[int, ...] = ()
    grouped: bool = False

    def __post_init__(self) -> None:
        factors = self.factors or (self.num_classes,)
        if not all(type(length) is int and length > 0 for length in factors) or math.prod(factors) != self.num_classes:
            raise CganError(f"data spec: expected factors of {self.num_classes} classes, found {repr(factors)}")
        object.__setattr__(self, "factors", factors)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def classes(self) -> str:
        """What the classes are, in words: their names, or that there is only one."""
        if self.grouped:
            return f"{self.num_classes:,} groups of alike images, {self.class_names[0]} to {self.class_names[-1]}"
        return _listed(self.class_names) if self.num_classes > 1 else "one class (unconditional)"

    @property
    def summary(self) -> str:
        """Number and kind of the classes, name and size: ``the 10 classes of mnist (1x28x28)``."""
        kind = "groups" if self.grouped else "classes"
        classes = f"the {self.num_classes:,} {kind}" if self.num_classes > 1 else "one class"
        return f"{classes} of {self.name} ({'x'.join(map(str, self.img_shape))})"

    @property
    def labelled(self) -> bool:
        """Whether there are several classes that someone named."""
        return self.num_classes > 1 and not self.grouped

    def shown_labels(self) -> list[int]:
        """Return the classes that figures show: all, or of very many some at random, always the same."""
        every = range(self.num_classes)
        return list(every) if len(every) <= MAX_SHOWN else sorted(Random(0).sample(every, MAX_SHOWN))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON and for ``torch.load(weights_only=True)``."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any) -> "DataSpec":
        """Rebuild a spec from what ``to_dict`` gave; the values may come from an untrusted file.

        Raises:
            CganError: A key is missing or a value is not of the expected kind.
        """
        try:
            name, shape, names = values["name"], values["img_shape"], values["class_names"]
            factors, grouped = tuple(values.get("factors", ())), values.get("grouped", False)
            sound = (
                is_name(name)
                and len(shape) == 3
                and all(type(size) is int and 0 < size <= 4096 for size in shape)
                and 0 < len(names) <= MAX_CLASSES
                and len(factors) <= 16
                and isinstance(grouped, bool)
                and all(is_name(entry) for entry in names)
            )
        except (AttributeError, TypeError, KeyError) as error:
            raise CganError(f"data spec: expected name, img_shape and class_names, found {repr(values)}") from error
        if not sound:
            raise CganError(f"data spec: expected a name, (C, H, W) and class names, found {repr(values)}")
        return cls(name, (shape[0], shape[1], shape[2]), tuple(names), factors, grouped)

    @cached_property
    def _labels(self) -> dict[str, int]:
        """The labels by name in one Unicode form; of equal names the first."""
        names = [unicodedata.normalize("NFC", name) for name in self.class_names]
        return {name: label for label, name in reversed(list(enumerate(names)))}

    @cached_property
    def _numbers(self) -> bool:
        """Whether a name is a number."""
        return any(map(_is_number, self._labels))

    @cached_property
    def _combinations(self) -> dict[tuple[str, ...], list[int]]:
        """The labels by the parts of their names, in sorted order."""
        found: dict[tuple[str, ...], list[int]] = {}
        for name, label in self._labels.items():
            found.setdefault(tuple(sorted(name.split("+"))), []).append(label)
        return found

    def label_of(self, word: object) -> int:
        """Return the label of a class that a user typed: by its name, or by its number where names are not numbers.

        The parts of a combination may stand in any order that names one class (``Male+Smiling``), and between them a
        space counts as ``+``, which it is in the query of a URL.

        Raises:
            CganError: There is no such class.
        """
        text = unicodedata.normalize("NFC", str(word))  # some keyboards write ü as u and dots
        for spelled in (text, text.replace(" ", "+")):
            if spelled in self._labels:
                return self._labels[spelled]
        if text.isdecimal() and len(text) < 10 and int(text) < self.num_classes and not self._numbers:
            return int(text)
        same_parts = self._combinations.get(tuple(sorted(spelled.split("+"))), [])
        if len(self.factors) > 1 and len(same_parts) == 1:
            return same_parts[0]
        raise CganError(f"class {text!r}: {self.name} has the classes {_listed(self.class_names)}; choose among these")


def combine_names(*factors: Sequence[str]) -> tuple[str, ...]:
    """Name all combinations, such as ``3+1+4``: one name of each factor, the last factor changing fastest."""
    return tuple(map("+".join, product(*factors)))


def _listed(names: Sequence[str]) -> str:
    """List names; of more than 40 the first and the last."""
    shown = names if len(names) <= 40 else (*names[:3], f"... ({len(names):,} in all) ...", names[-1])
    return ", ".join(shown)


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False


def is_name(value: object) -> bool:
    """Whether a name can be printed and be part of a file's name; untrusted ones move the cursor or are very long."""
    return isinstance(value, str) and 0 < len(value) <= 100 and is_printable(value)


def to_float(images: Tensor) -> Tensor:
    """Map uint8 pixels 0..255 to float32 values in [-1, 1], the range of the generators' tanh."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """Map values in [-1, 1] to uint8 pixels 0..255, rounded: truncation would darken every image by half a level."""
    return images.float().mul(127.5).add_(127.5).round_().clamp_(0, 255).to(torch.uint8)
