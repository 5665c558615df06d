"""A choice of metrics, computed from one extraction of the features."""

import logging
import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from cgan.errors import CganError
from cgan.metrics.features import Extractor, Features
from cgan.metrics.labels import agreement
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import Description, Protocol

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """What was computed of a set of images, by value name."""

    values: dict[str, float]
    class_values: dict[str, list[float | None]]  # one number per class; None for a class without images

    def flat(self) -> dict[str, float]:
        """Return all numbers by name; ``NAME/LABEL`` is that of one class."""
        per_class = {
            f"{name}/{label}": value
            for name, values in self.class_values.items()
            for label, value in enumerate(values)
            if value is not None
        }
        return self.values | per_class


class Suite:
    """Metrics of samples beside those of real images.

    Metrics that cannot be computed from these features or this few images are left out, and a line says which.

    Args:
        extractor: What made the features.
        metrics: By name.
        real: The real images.

    Attributes:
        metrics: Those that can be computed.
        accuracy: Share of the held-out images that a classifier of their classes reads as labelled; None: it is none.

    Raises:
        CganError: ``n`` is below 2, none of the metrics can be computed, two of them have a value
            of the same name, or the extractor misreads the real images.
    """

    def __init__(self, extractor: Extractor, metrics: Mapping[str, Metric], real: RealImages) -> None:
        if real.n < 2:
            raise CganError(f"quality is measured on 2 or more held-out images, found {real.n}; give more images")
        for name, metric in metrics.items():
            if not (isinstance(metric, Metric) and getattr(metric, "values", None)):
                raise CganError(f"metrics.{name}: {type(metric).__name__} is no Metric with `values`")
        self.extractor = extractor
        self.real_images = real
        kind = "samples" if real.n <= len(real.held_out.labels) else "held-out images"
        reasons = self._missing(metrics, real.samples.labels, kind)
        self.metrics = {name: metric for name, metric in metrics.items() if name not in reasons}
        self._few = self._few_of_a_class(real.samples.labels)
        say_left_out(reasons | self._few)
        if not self.metrics:
            raise CganError("metrics: none of those chosen can be computed; choose others with metrics=[...]")
        names = [entry.name for metric in self.metrics.values() for entry in metric.values]
        if twice := [name for name in names if names.count(name) > 1]:
            raise CganError(f"metrics: two of {', '.join(self.metrics)} have a value called {twice[0]}; leave one out")
        self.accuracy = self._read_rightly()
        for metric in self.metrics.values():
            metric.prepare(real)

    @property
    def descriptions(self) -> dict[str, Description]:
        """The descriptions of all values, by value name; those of a classifier's readings say how well it reads."""
        return {
            entry.name: self._described(entry, metric) for metric in self.metrics.values() for entry in metric.values
        }

    def _described(self, entry: Description, metric: Metric) -> Description:
        if metric.needs_classes != "data" or self.accuracy is None:
            return entry
        share = f"The classifier reads {self.accuracy:.1%} of held-out real images as labelled."
        return replace(entry, sentence=f"{entry.sentence} {share}".strip())

    def protocol(self, data: str, seed: int, weights: str = "ema", truncation: float = 1.0) -> Protocol:
        """Return what two evaluations must share; see :class:`cgan.metrics.values.Protocol`."""
        extractor, real = self.extractor, self.real_images
        read = (extractor.name, extractor.weights_hash(), extractor.resize)
        return Protocol(data, *read, real.n, seed, real.split, weights, truncation)

    @cached_property
    def real(self) -> Measured:
        """The values of ``n`` held-out real images, or of all of them, in the role of the samples."""
        if self.real_images.n > (held_out := len(self.real_images.held_out.labels)):
            fewer = replace(self.real_images, n=held_out)
            return Suite(self.extractor, {name: copy(metric) for name, metric in self.metrics.items()}, fewer).real
        return _parted([self._checked(metric, metric.of_real(self.real_images)) for metric in self.metrics.values()])

    def measure(self, samples: Features, on_metric: Callable[[str], None] = lambda name: None) -> Measured:
        """Compute every metric of ``n`` samples; what they are too few for is left out.

        Args:
            samples: Their features.
            on_metric: Called with each metric's name when it is computed.

        Raises:
            CganError: There are not ``n`` samples, or their features are not finite.
        """
        if len(samples.labels) != self.real_images.n:
            raise CganError(f"expected {self.real_images.n} samples, found {len(samples.labels)}")
        if not samples.features.isfinite().all():
            raise CganError("the samples' features are not finite: the generator draws NaN or infinity")
        reasons = self._missing(self.metrics, samples.labels, "samples")
        few = {name: reason for name, reason in self._few_of_a_class(samples.labels).items() if name not in self._few}
        say_left_out(reasons | few)
        computed = []
        for name, metric in self.metrics.items():
            if name not in reasons:
                computed.append(self._checked(metric, metric.compute(samples, self.real_images.reference)))
            on_metric(name)
        return _parted(computed)

    def _missing(self, metrics: Mapping[str, Metric], labels: Tensor, kind: str) -> dict[str, str]:
        reference = self.real_images.reference.labels
        reasons = {name: metric.missing(self.extractor, labels, reference, kind) for name, metric in metrics.items()}
        return {name: reason for name, reason in reasons.items() if reason}

    def _few_of_a_class(self, labels: Tensor) -> dict[str, str]:
        """Say by metric of which classes there are too few images for its value per class."""
        reasons = {}
        for name, metric in self.metrics.items():
            if few := metric.too_few(labels, self.real_images.reference.labels):
                classes = f"{len(few)} classes, such as {few[0]}" if len(few) > 1 else f"class {few[0]}"
                reasons[f"{name} of {classes}"] = f"needs {metric.min_per_class} images of it"
        return reasons

    def _checked(self, metric: Metric, computed: Computed) -> Computed:
        return checked(metric, computed, num_classes=int(self.real_images.reference.labels.max()) + 1)

    def _read_rightly(self) -> float | None:
        """Return the share of held-out images that a classifier reads as labelled; None: it is no classifier of these.

        Raises:
            CganError: It reads them much worse than those of the data that it was made for.
        """
        if self.extractor.classes != "data":
            return None
        right, known = agreement(self.real_images.test), self.extractor.accuracy
        if right < 0.5 * (1 if known is None else known):
            raise CganError(
                f"features={self.extractor.name}: they read only {right:.0%} of the held-out real images rightly; are "
                "the images inverted or transposed? Leave features= out, and a classifier of these images is trained"
            )
        return right


def say_left_out(reasons: Mapping[str, str]) -> None:
    """Log in one line which metrics are left out and why."""
    if reasons:
        log.info("Left out: %s", "; ".join(f"{name} ({reason})" for name, reason in reasons.items()))


def checked(metric: Metric, computed: Computed, num_classes: int) -> Computed:
    """Return what a metric computed.

    Raises:
        CganError: It is no plain number, none of the values that the metric describes, or a list of another length.
    """
    described, said = {entry.name: entry for entry in metric.values}, f"{type(metric).__name__} computed"
    for name, value in computed.items():
        if name not in described:
            raise CganError(f"{said} {name}, which its `values` do not describe; they have {', '.join(described)}")
        if isinstance(value, list) != described[name].per_class:
            raise CganError(f"{said} {name} as {type(value).__name__}: a list needs per_class=True in its Description")
        if isinstance(value, list) and len(value) != num_classes:
            raise CganError(f"{said} {name} of {len(value)} classes: expected one number for each of {num_classes}")
        for number in value if isinstance(value, list) else [value]:
            if not isinstance(number, int | float):
                kind = type(number).__name__
                raise CganError(f"{said} {name} as {kind}: expected a float, float(...) makes one; per class a list")
    return computed


def _parted(computed: list[Computed]) -> Measured:
    found = Measured({}, {})
    undefined = {}
    for values in computed:
        for name, value in values.items():
            if isinstance(value, list):
                found.class_values[name] = [number if math.isfinite(number) else None for number in value]
            elif math.isfinite(value):
                found.values[name] = value
            else:
                undefined[name] = f"is {value} here"
    say_left_out(undefined)
    return found
