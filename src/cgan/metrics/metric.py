"""What every metric has: descriptions of its values, what it needs, and a function of two sets of features."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from cgan.metrics.cache import cached_tensor
from cgan.metrics.features import Extractor, Features, hash_of
from cgan.metrics.values import Description, register_value

Computed = dict[str, float | list[float]]
"""Numbers by value name; a list has one number per class, NaN for a class without images."""

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
        """``n`` held-out images, or all of them."""
        return self.held_out.spread(min(self.n, len(self.held_out.labels)))

    @cached_property
    def equal(self) -> Features:
        """``n`` reference images, or all of them."""
        return self.reference.spread(min(self.n, len(self.reference.labels)))

    def kept(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return what ``compute`` finds of these images alone; it is kept on disk by name: it may take minutes."""
        return cached_tensor(f"{name}_{self._hash}", compute)

    @cached_property
    def _hash(self) -> str:
        return hash_of([torch.tensor(self.n), *self.reference, *self.held_out])


class Metric(ABC):
    """One or more numbers that compare samples with reference images. Defining a subclass registers its values.

    A metric of your own: set ``values``, write ``compute``, and name the class by ``_target_`` in a YAML of the
    config group ``metrics``, under a key of its own: ``my_metric: {_target_: my_module.MyMetric}``.
    """

    values: ClassVar[Sequence[Description]]  # of the numbers that `compute` returns
    min_samples: ClassVar[int] = 2  # with fewer samples or reference images there is no value
    min_per_class: ClassVar[int] = 0  # the same for each class of the reference
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
        counts = reference.bincount()
        for label in counts.nonzero().flatten().tolist():
            found = min(int((labels == label).sum()), int(counts[label]))
            if found < self.min_per_class:
                return f"needs {self.min_per_class} of each class, class {label} has {found}"
        return None
