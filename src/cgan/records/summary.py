"""What a generator is, how long it was trained and how good it is, in one line."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from cgan.checkpoint import name_of, read_description
from cgan.config import model_name
from cgan.metrics.values import short
from cgan.records.evaluation import find_evaluation
from cgan.records.run import read_run
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
_DISTANCE = "fid"
_ACRONYMS = re.compile("[ekq]?mnist|cifar|stl|svhn|usps")


@dataclass(frozen=True)
class Summary:
    """A generator in a few values; epochs are passes over the training images, distances Fréchet's; None: not known."""

    model: str
    data: str
    images_seen: int | None = None
    epochs: float | None = None
    distance: float | None = None
    real_distance: float | None = None

    @property
    def title(self) -> str:
        """What the generator is called everywhere, such as ``light_wide on MNIST, 22 epochs``."""
        length = ""
        if self.epochs is not None:
            length = f", {self.epochs:.3g} epoch{'' if self.epochs == 1 else 's'}"
        elif self.images_seen:
            length = f", {self.images_seen:,} images"
        return f"{self.model} on {data_title(self.data)}{length}"

    def __str__(self) -> str:
        """Return one line, such as ``light_wide on MNIST, 22 epochs, distance 0.11 (real images 0.05)``."""
        real = "" if self.real_distance is None else f" (real images {short(self.real_distance)})"
        quality = "not evaluated" if self.distance is None else f"distance {short(self.distance)}{real}"
        return f"{self.title}, {quality}"

    @property
    def warning(self) -> str | None:
        """A sentence for a generator that was trained for less than an epoch."""
        if self.epochs is None or self.epochs >= 1:
            return None
        return f"trained for {self.epochs:.2g} epochs only: expect noise; train longer, or name another with ckpt="


def data_title(name: str) -> str:
    """Return what people call a data set: ``fashion MNIST`` for ``fashion_mnist``, ``CIFAR10`` for ``cifar10``."""
    return _ACRONYMS.sub(lambda found: found[0].upper(), name.replace("_", " "))


def summarise(path: Path, logs: Path = Path("logs")) -> Summary:
    """Return the summary of a generator, a ``.ckpt`` file or an exported folder, with its evaluation under ``logs``.

    Raises:
        CganError: The file is missing, damaged or not of this project.
    """
    described = read_description(path)
    seen, found = described["images_seen"], find_evaluation(path, logs)
    return Summary(
        model_name(described["network"], described.get("config")),
        DataSpec.from_dict(described.get("spec")).name,
        seen,
        _epochs(path, seen) or (found.entry.epoch if found else None),
        found.entry.values.get(_DISTANCE) if found else None,
        found.record.real.values.get(_DISTANCE) if found else None,
    )


def log_summary(path: Path) -> None:
    """Log the summary of a generator that is about to be used, and a warning where it was hardly trained."""
    summary = summarise(path)
    log.info("Generator: %s: %s", name_of(path), summary)
    if summary.warning:
        log.warning("Warning: %s", summary.warning)


def _epochs(path: Path, seen: int | None) -> float | None:
    run = None if path.is_dir() else read_run(path.parent.parent)
    if seen is None or run is None or not run.epochs or not run.images_total:
        return None
    return seen * run.epochs / run.images_total
