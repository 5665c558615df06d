"""The listing of generators: the bundled ones, and every run and export under the logs folder."""

import math
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from cgan.archive import ANOTHER
from cgan.checkpoint import PRETRAINED, find_generator, load_generator
from cgan.config import model_name
from cgan.errors import CganError
from cgan.files import changed_at
from cgan.metrics.values import short
from cgan.networks.base import StyleBased
from cgan.plugins import load_plugins
from cgan.records.best_run import best_run
from cgan.records.evaluation import EvaluationIndex, FoundEvaluation
from cgan.records.layout import checkpoints_under, run_of
from cgan.records.run import RunRecord, read_run
from cgan.records.summary import Summary
from cgan.spec import DataSpec

POOR_AGREEMENT = 0.9
"""Below this share of the label agreement of real images a model is called poor."""


@dataclass(frozen=True)
class Value:
    """One measured number of a model, with its description and that of held-out real images, if measured."""

    name: str
    title: str
    sentence: str
    advice: str
    value: float
    real: float | None
    protocol: str = ""

    @property
    def text(self) -> str:
        """The number, beside that of real images."""
        return short(self.value) if self.real is None else f"{short(self.value)} (real images {short(self.real)})"


@dataclass(frozen=True)
class Model:
    """A generator of the listing.

    Attributes:
        name: ``pretrained/NAME``, or the folder's place under the logs folder: ``train/runs/2026-11-22_10-00-00``.
        origin: ``pretrained generator``, ``exported generator`` or ``checkpoint``.
        error: Why it cannot be used: then ``network`` is empty and ``spec`` None.
        path: The file or folder; for the service alone, never shown to clients.
        changed: When the file was written, Unix time in seconds.
        choice: The choice of ``model=`` that builds it, or else its class.
        title: For people: choice, data and length of training.
        label: The title with what tells it apart from others: the time, or the name.
        warning: Why its pictures may be poor, in one sentence; empty where nothing is known against it.
        style_layers: Layers whose styles can be mixed; 0 for a generator without styles.
    """

    name: str
    origin: str
    network: str
    spec: DataSpec | None
    error: str | None
    path: Path = field(repr=False)
    changed: float = 0.0
    choice: str = ""
    title: str = ""
    label: str = ""
    warning: str = ""
    values: tuple[Value, ...] = ()
    style_layers: int = 0

    @property
    def data(self) -> str:
        """The name of its data set; empty when the file cannot be read."""
        return self.spec.name if self.spec else ""

    @property
    def classes(self) -> list[str]:
        """The names of its classes."""
        return list(self.spec.class_names) if self.spec else []

    @property
    def img_shape(self) -> list[int]:
        """``[C, H, W]``."""
        return list(self.spec.img_shape) if self.spec else []


class Catalog:
    """The listing; a file that cannot be read is listed with its error and never raises.

    Each file is loaded once to see that it can be read; the result is kept by file and modification time.
    """

    def __init__(self, logs: Path) -> None:
        load_plugins()
        self.logs = logs
        self._lock = threading.Lock()
        self._listing: list[Model] = []
        self._default: str | None = None
        self._listed_at = -math.inf

    def models(self) -> list[Model]:
        """List the pretrained generators, then what lies under the logs folder, newest first; unreadable ones as well.

        The listing is at most two seconds old: walking a large logs folder at each request would be slow.
        """
        with self._lock:
            if time.monotonic() - self._listed_at > 2:
                self._list()
            return self._listing

    def default(self) -> str | None:
        """Return the name of the model that the scripts take without ``ckpt=``, else of the first usable one."""
        self.models()
        return self._default

    def _list(self) -> None:
        bundled = [(f"pretrained/{path.parent.name}", path.parent) for path in sorted(PRETRAINED.glob("*/config.json"))]
        folders = {run_of(path) for path in checkpoints_under(self.logs)}
        folders |= {
            path.parent for path in self.logs.glob("**/config.json") if path.with_name("model.safetensors").exists()
        }
        inside = [folder for folder in folders if folder.resolve().is_relative_to(self.logs.resolve())]
        inside.sort(key=lambda folder: (changed_at(folder), folder), reverse=True)
        listed = bundled + [(folder.relative_to(self.logs).as_posix(), folder) for folder in inside]
        evaluations = EvaluationIndex(self.logs)
        models = [_describe(name, folder, evaluations) for name, folder in listed]
        labels = Counter(model.label for model in models)
        self._listing = [
            replace(model, label=f"{model.title} · {model.name}") if labels[model.label] > 1 else model
            for model in models
        ]
        chosen = None
        with suppress(CganError):  # its files are gone
            chosen = find_generator(best_run(self.logs) or "pretrained").path
        usable = [model for model in self._listing if model.error is None]
        self._default = next((model.name for model in sorted(usable, key=lambda model: model.path != chosen)), None)
        self._listed_at = time.monotonic()


def _describe(name: str, folder: Path, evaluations: EvaluationIndex) -> Model:
    try:
        found = find_generator(folder)
    except (CganError, OSError) as error:
        return Model(name, "checkpoint", "", None, without_paths(str(error), name, folder), folder)
    origin = "pretrained generator" if folder.is_relative_to(PRETRAINED) else found.origin
    model = _read(name, origin, found.path, changed_at(found.path))
    if model.error:
        return model
    try:
        return _with_records(model, evaluations.find(found.path), read_run(folder))
    except Exception as error:  # an untrusted record can fail in any way, and must not take the others along
        return replace(model, error=f"{name}: its records cannot be read ({error!r:.160}); remove them")


@lru_cache(maxsize=4096)
def _read(name: str, origin: str, path: Path, changed: int) -> Model:
    try:
        generator = load_generator(path)
    except CganError as error:
        return Model(name, origin, "", None, without_paths(str(error), name, path), path)
    layers = generator.style_layers if isinstance(generator, StyleBased) else 0
    network = type(generator).__name__
    choice = model_name(network, generator.config)
    return Model(name, origin, network, generator.spec, None, path, changed / 1e9, choice, style_layers=layers)


def without_paths(message: str, name: str, path: Path) -> str:
    """Put a model's name in the place of its path, so that a message can be shown to clients, who have no ``ckpt=``."""
    message = message.replace(ANOTHER, "choose another model")
    for known in (path.absolute(), path):
        message = message.replace(str(known), name)
    return message


def _with_records(model: Model, found: FoundEvaluation | None, run: RunRecord | None) -> Model:
    """Add what an evaluation and the run's own record know of a model."""
    values = _values(found) if found else ()
    epoch = (found.entry.epoch if found else None) or (run.epoch if run else None)
    images = (found.entry.images_seen if found else None) or (run.images_seen if run else None)
    title = Summary(model.choice, model.data, images, epoch or None).title
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.changed))
    second = "bundled" if model.origin == "pretrained generator" else when
    return replace(
        model, title=title, label=f"{title} · {second}", values=values, warning=_warning(run, images, values)
    )


def _values(found: FoundEvaluation) -> tuple[Value, ...]:
    values, protocol = [], found.record.protocol.told_apart
    for name, value in found.entry.values.items():
        about, real = found.record.describe(name), found.record.real.values.get(name)
        values.append(Value(name, about.title, about.sentence, about.advice, value, real, protocol))
    return tuple(values)


def _warning(run: RunRecord | None, images_seen: int | None, values: tuple[Value, ...]) -> str:
    sentences = []
    agreement = next((value for value in values if value.name == "label_agreement"), None)
    if run and run.debug:
        sentences.append("This model comes from a run for debugging: expect noise.")
    elif run and run.state != "finished":
        state = "is still training" if run.state == "running" else f"was {run.state} early"
        sentences.append(f"This model {state}: epoch {run.epoch} of {run.epochs or 'any number'}.")
    if run and run.epochs and run.images_total and (images_seen or 0) < run.images_total / run.epochs:
        sentences.append("It was trained for less than one epoch: expect noise.")
    if agreement and agreement.value < POOR_AGREEMENT * (agreement.real or 1):
        sentences.append(f"Only {agreement.value:.0%} of its pictures were recognised as the requested class.")
    return " ".join(sentences)
