"""What every metric has: descriptions of its values, what it needs, and a function of two sets of features."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from cgan.metrics.cache import cached_tensor
from cgan.metrics.features import Extractor, Features, evenly, hash_of, in_class_shares, labels_like
from cgan.metrics.values import Description, register_value

Computed = dict[str, float | list[float]]
"""Numbers by value name; a list has one number per class, NaN for a class without images."""

log = logging.getLogger(__name__)
ALIKE = 0.05
"""Of the held-out images so many may be of other classes than by the reference's shares, beyond what is chance."""
CHOICE = 3
"""Raised when others are chosen of the same images, so that nothing is kept of the former ones."""
_CLASSES = {"data": "features that read the classes of the data", "imagenet": "Inception features"}


@dataclass(frozen=True)
class RealImages:
    """The real images of an evaluation."""

    reference: Features  # the split that samples are compared with
    held_out: Features  # the other split; `n` of it in the role of samples give the values of real images
    n: int  # number of samples
    split: str = "train"  # name of the reference: train or test

    @property
    def train(self) -> Features:
        """The split that was trained on, whichever is the reference."""
        return self.reference if self.split == "train" else self.held_out

    @property
    def test(self) -> Features:
        """The split that was kept apart."""
        return self.held_out if self.split == "train" else self.reference

    @cached_property
    def samples(self) -> Features:
        """``n`` held-out images, or all of them; in the class shares of the reference if their own are others."""
        available, n = self.held_out.labels.bincount(), min(self.n, len(self.held_out.labels))
        wanted = labels_like(self.reference.labels, n).bincount(minlength=len(available))
        own = labels_like(self.held_out.labels, n).bincount(minlength=len(wanted))
        if int((wanted - own).abs().sum()) <= 2 * ALIKE * n + self._by_chance(n):
            return self.held_out.spread(n)
        found = self._in_shares(wanted)
        log.info(
            "Real images: %s of the %s held out, in the class shares of the reference as far as they reach",
            f"{len(found.labels):,}",
            f"{len(self.held_out.labels):,}",
        )
        return found

    def _by_chance(self, n: int) -> float:
        """Return by how much ``n`` labels of both splits differ, summed over classes, if both are drawn alike."""
        both = [self.reference.labels, self.held_out.labels]
        shares = torch.cat(both).bincount().double() / sum(map(len, both))
        deviation = (shares * (1 - shares) * sum(1 / len(labels) for labels in both)).sqrt()
        return n * float(deviation.sum()) * (2 / math.pi) ** 0.5  # the mean size of a normal number

    def _in_shares(self, wanted: Tensor) -> Features:
        """Keep so many held-out images of each class, or all of them."""
        places = [(self.held_out.labels == label).nonzero().flatten() for label in range(len(wanted))]
        counts = [min(len(some), count) for some, count in zip(places, wanted.tolist(), strict=True)]
        if not any(counts):
            return self.held_out.spread(sum(map(len, places)))
        return self.held_out.at(torch.cat([p[evenly(len(p), c)] for p, c in zip(places, counts, strict=True) if c]))

    @cached_property
    def equal(self) -> Tensor:
        """Positions (M,) of ``n`` reference images, or of all: a copy of the images themselves could be large."""
        labels = self.reference.labels
        return in_class_shares(labels, min(self.n, len(labels)))

    def kept(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return what ``compute`` finds of these images alone; it is kept on disk by name: it may take minutes."""
        return cached_tensor(f"{name}_{self._hash}", compute)

    @cached_property
    def _hash(self) -> str:
        return hash_of([torch.tensor([self.n, CHOICE]), *self.reference, *self.held_out])


class Metric(ABC):
    """One or more numbers that compare samples with reference images. Defining a subclass registers its values.

    A metric of your own: set ``values``, write ``compute``, and name the class by ``_target_`` in a YAML of the
    config group ``metrics``, under a key of its own: ``my_metric: {_target_: my_module.MyMetric}``.
    """

    values: ClassVar[Sequence[Description]]  # of the numbers that `compute` returns
    min_samples: ClassVar[int] = 2  # with fewer samples or reference images there is no value
    min_per_class: ClassVar[int] = 0  # the same for a class: with fewer of it there is NaN, of all no value at all
    needs_classes: ClassVar[Literal["data", "imagenet"] | None] = None  # what the extractor's logits must tell apart

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "values" in cls.__dict__:
            cls.values = tuple(replace(entry, needs=entry.needs or cls.needs()) for entry in cls.values)
            for entry in cls.values:
                register_value(entry)

    @abstractmethod
    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return the numbers by value name.

        Args:
            samples: Features of the images that are measured.
            reference: Features of the whole reference split.
        """

    def prepare(self, real: RealImages) -> None:
        """Compute once what every call of ``compute`` needs of the real images; the default needs nothing."""
        return

    def of_real(self, real: RealImages) -> Computed:
        """Return the numbers of held-out real images in the role of the samples."""
        return self.compute(real.samples, real.reference)

    @classmethod
    def needs(cls) -> str:
        """Say what it takes to compute the values."""
        needs = [_CLASSES[cls.needs_classes]] if cls.needs_classes else []
        needs += [f"{cls.min_samples:,} samples"] if cls.min_samples > 2 else []
        needs += [f"{cls.min_per_class} of each class"] if cls.min_per_class else []
        return ", ".join(needs)

    def missing(self, extractor: Extractor, labels: Tensor, reference: Tensor, kind: str = "samples") -> str | None:
        """Say what is missing for a value of samples and reference images of these classes; None: nothing.

        Args:
            extractor: What makes the features.
            labels: Of the samples, (N,).
            reference: Labels of the reference, (M,).
            kind: What the samples are called.
        """
        if self.needs_classes not in (None, extractor.classes):
            return f"needs {_CLASSES[self.needs_classes]}"
        for what, found in ((kind, len(labels)), ("reference images", len(reference))):
            if found < self.min_samples:
                return f"needs {self.min_samples:,} {what}, found {found:,}"
        few, present = self.too_few(labels, reference), len(reference.unique())
        return f"needs {self.min_per_class} of each class, no class has so many" if len(few) == present else None

    def too_few(self, labels: Tensor, reference: Tensor) -> list[int]:
        """Return the classes of the reference, (M,) labels, that have too few images there or among (N,) samples."""
        counts = reference.bincount()
        fewer = torch.minimum(counts, labels.bincount(minlength=len(counts))[: len(counts)])
        return ((counts > 0) & (fewer < self.min_per_class)).nonzero().flatten().tolist()
