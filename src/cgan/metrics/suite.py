"""Every metric by name, and the suite that computes a choice of them: one look at the samples serves all."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from cgan.errors import CganError
from cgan.metrics import distances, labels, manifold, variety
from cgan.metrics.base import Extractor
from cgan.metrics.looks import Look


@dataclass(frozen=True)
class Metric:
    """A function ``(samples, reference) -> values by name``, and what it needs.

    Attributes:
        measure: The function; a name such as ``class_fid/3`` is a value for one class.
        least: Samples without which there is no value.
        least_per_class: The same for each class.
        reads_labels: Whether it needs an extractor that reads the data set's classes (True) or others (False).
        needs_limit: Whether it also takes the ``limit`` that test images set.
    """

    measure: Callable[..., dict[str, float]]
    least: int = 2
    least_per_class: int = 0
    reads_labels: bool | None = None
    needs_limit: bool = False

    def suits(self, extractor: Extractor) -> bool:
        """Whether it can be computed from what ``extractor`` sees."""
        return self.reads_labels in (None, extractor.reads_labels)


METRICS = {
    "fid": Metric(distances.frechet_distance),
    "kid": Metric(distances.kernel_distance, least=distances.KID_SUBSET),
    "inception_score": Metric(distances.inception_score, least=2 * distances.IS_SPLITS, reads_labels=False),
    "precision_recall": Metric(manifold.precision_recall, least=manifold.K + 1),
    "density_coverage": Metric(manifold.density_coverage, least=manifold.K + 1),
    "intra_fid": Metric(distances.intra_class_distance, least_per_class=2),
    "label_agreement": Metric(labels.label_agreement, reads_labels=True),
    "variance_ratio": Metric(variety.variance_ratio, least_per_class=2),
    "memorised": Metric(variety.memorised, needs_limit=True),
    "exact_copies": Metric(variety.exact_copies),
    "near_duplicates": Metric(variety.near_duplicates),
    "class_fid": Metric(distances.class_distances, least_per_class=2),
    "class_agreement": Metric(labels.class_agreement, least_per_class=1, reads_labels=True),
}


def choose(names: list[str] | str, extractor: Extractor, n: int) -> list[str]:
    """Check a choice of metrics against an extractor; ``all`` is every metric that suits it and ``n`` samples.

    Raises:
        CganError: A metric does not exist or cannot be computed from these features.
    """
    names = [names] if isinstance(names, str) else names
    if "all" in names:
        return [name for name, metric in METRICS.items() if metric.suits(extractor) and metric.least <= n]
    for name in names:
        if name not in METRICS:
            raise CganError(f"quality.metrics: no metric {name!r}; choose among all, {', '.join(METRICS)}")
        if not METRICS[name].suits(extractor):
            kind = "labels" if METRICS[name].reads_labels else "Inception's classes"
            raise CganError(f"quality.metrics: {name} needs {kind}, {extractor.name} features have none; leave it out")
    return list(names)


def refuse_too_few(names: list[str], wanted: Tensor, num_classes: int, what: str) -> None:
    """Check that samples with the labels ``wanted`` (N,) are enough for every metric.

    Raises:
        CganError: They are not; the message begins with ``what`` and names the number needed.
    """
    fewest, label = wanted.bincount(minlength=num_classes).min(0)
    for name in names:
        metric = METRICS[name]
        if len(wanted) < metric.least:
            raise CganError(
                f"{what}: {name} needs at least {metric.least} samples, found {len(wanted)}; give more or leave {name} "
                "out of quality.metrics"
            )
        if fewest < metric.least_per_class:
            raise CganError(
                f"{what}: {name} needs at least {metric.least_per_class} samples of every class, found {int(fewest)} "
                f"of class {int(label)}; give more or leave {name} out of quality.metrics"
            )


def count_in_words(n: int) -> str:
    """Return a number of samples as tags have it: 10000 -> ``10k``, 500 -> ``500``."""
    return f"{n // 1000}k" if n % 1000 == 0 else str(n)


class Suite:
    """Metrics of samples against a reference split, each with a tag that names its protocol.

    Args:
        reference: A look at the whole reference split.
        test: A look at the split that is kept apart; in the role of the samples it gives the floor.
        extractor: What looked; its name stands in the tags.
        metrics: Which of :data:`METRICS` to compute, or ``all``.
        n: Number of samples that the values are for; at most as many as ``test`` has images.
        reference_split: What the reference is called; stands in the tags unless it is ``train``.

    Attributes:
        metrics: The chosen metrics by name.
        n: Number of samples.

    Raises:
        CganError: A metric does not exist, or cannot be computed from these features or this few samples.
    """

    def __init__(
        self,
        reference: Look,
        test: Look,
        extractor: Extractor,
        metrics: list[str] | str,
        n: int,
        reference_split: str = "train",
    ) -> None:
        if not 2 <= n <= len(test.labels):
            raise CganError(f"quality.n={n}: expected 2 to {len(test.labels)}, the number of test images")
        self.metrics = choose(metrics, extractor, n)
        self.reference = reference
        self.test = test
        self.n = n
        self._protocol = [extractor.name, count_in_words(n)]
        self._protocol += [] if reference_split == "train" else [reference_split]
        refuse_too_few(self.metrics, test.spread(n).labels, self.num_classes, f"n={n}")

    @property
    def num_classes(self) -> int:
        """The number of classes of the reference."""
        return int(self.reference.labels.max()) + 1

    @cached_property
    def floor(self) -> dict[str, float]:
        """Every value of ``n`` real test images, by tag."""
        return self.measure(self.test.spread(self.n))

    def tag(self, name: str) -> str:
        """Return a value's name with its protocol: ``fid`` -> ``fid_digits_10k``, ``a/3`` -> ``a_digits_10k/3``."""
        base, slash, which = name.partition("/")
        return "_".join([base, *self._protocol]) + slash + which

    def measure(self, samples: Look, on_metric: Callable[[str], None] = lambda name: None) -> dict[str, float]:
        """Compute every metric of ``n`` samples, by tag.

        Args:
            samples: A look at them.
            on_metric: Called with each metric's name when it is computed.

        Raises:
            CganError: There are not ``n`` samples, too few of a class, or their features are not finite.
        """
        if len(samples.labels) != self.n:
            raise CganError(f"expected {self.n} samples, found {len(samples.labels)}")
        refuse_too_few(self.metrics, samples.labels, self.num_classes, "samples")
        if not samples.features.isfinite().all():
            raise CganError("the samples' features are not finite: the generator draws NaN or infinity")
        values: dict[str, float] = {}
        for name in self.metrics:
            limit = {"limit": self._copy_limit} if METRICS[name].needs_limit else {}
            values |= METRICS[name].measure(samples, self.reference, **limit)
            on_metric(name)
        return {self.tag(name): value for name, value in values.items()}

    @cached_property
    def _copy_limit(self) -> float:
        return variety.copy_limit(self.test.spread(self.n), self.reference)
