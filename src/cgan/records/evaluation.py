"""The evaluation record: what was measured of generators, in one versioned JSON format.

Training writes it to the run folder as ``evaluation.json`` (rewritten at each evaluation: one entry, the run, with the
values of its best epoch), ``evaluate.py`` to its own folder, an export stores it in ``config.json`` under
``evaluation``. It describes its own values, so that a reader needs no other table. A key at its
default (null, empty, false, ``direction`` none) is left out::

    {
      "format": "cgan-evaluation",
      "version": 1,
      "protocol": {"data": "mnist", "features": "digits", "features_hash": "0123456789abcdef", "resize": "none",
                   "n": 10000, "seed": 0, "reference": "train", "weights": "ema"},
      "descriptions": {"fid": {"name": "fid", "title": "Fréchet distance", "sentence": "...", "direction": "lower",
                               "target": null, "low": 0, "high": null, "needs": "...", "source": "...",
                               "per_class": false}},
      "class_names": ["0", "1"],
      "real": {"name": "real images", "values": {"fid": 0.05}, "class_values": {"class_fid": [0.1, 0.2]}},
      "entries": [{
        "name": "my_run",                  what a table calls it
        "source": "logs/train/runs/...",   as the user typed it
        "file": "../checkpoints/best.ckpt", the generator's file or folder, relative to the record's folder
        "network": "LightGenerator", "parameters": 626869, "trained_on": "mnist", "command": "cgan train ...",
        "images_seen": 59904, "epoch": 1, "seconds": 61.5,   training alone, up to this checkpoint
        "hardware": "2 CPU cores",
        "values": {"fid": 0.11}, "class_values": {"class_fid": [0.3, null]},   null: no value for this class
        "confusion": [[10, 0], [1, 9]],    images by requested class (rows) and class read (columns)
        "curve": [{"images_seen": 59904, "epoch": 1, "seconds": 63.2, "values": {"fid": 0.11}}]
      }],                                  the seconds of a curve include the time of evaluating
      "software": {"torch": "2.14.0"}, "hardware": "2 CPU cores",
      "features_accuracy": 0.996           share of held-out images that the features' classifier reads as labelled
    }
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from annotated_types import Len, Predicate

from cgan.checkpoint import read_description
from cgan.errors import CganError
from cgan.files import changed_at, read_json, write_file
from cgan.metrics.values import FINITE, Count, Description, Protocol, Text
from cgan.records.layout import run_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT, VERSION = "cgan-evaluation", 1
FILE = "evaluation.json"
REAL = "real images"


def _is_path(text: str) -> bool:
    return "\0" not in text


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation of a run; ``epoch`` counts from 1, ``seconds`` are those of training and evaluating until then."""

    __pydantic_config__ = FINITE
    images_seen: Count
    values: dict[Text, float]
    epoch: Count | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Entry:
    """What was measured of one generator or set of images, and what is known of its making; see the module's schema."""

    __pydantic_config__ = FINITE
    name: Text
    values: dict[Text, float] = field(default_factory=dict)
    class_values: dict[Text, list[float | None]] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    source: Text | None = None
    file: Annotated[str, Len(0, 10_000), Predicate(_is_path)] | None = None  # not printed
    network: Text | None = None
    parameters: Count | None = None
    trained_on: Text | None = None
    command: Text | None = None
    images_seen: Count | None = None
    epoch: Count | None = None
    seconds: float | None = None
    hardware: Text | None = None
    curve: list[CurvePoint] = field(default_factory=list)


@dataclass(frozen=True)
class EvaluationRecord:
    """Values of generators beside those of real images under one protocol; see the module's schema."""

    __pydantic_config__ = FINITE
    protocol: Protocol
    real: Entry
    entries: list[Entry]
    descriptions: dict[Text, Description]
    class_names: list[Text]
    software: dict[Text, Text] = field(default_factory=dict)
    hardware: Text | None = None
    features_accuracy: float | None = None

    def describe(self, name: str) -> Description:
        """Return the record's own description of a value; of an unknown one, a description that has its name only."""
        return self.descriptions.get(name) or Description(name, name)


class FoundEvaluation(NamedTuple):
    """A generator's evaluation: the record, and the entry in it that is about the generator."""

    record: EvaluationRecord
    entry: Entry


@cache
def _schema() -> "TypeAdapter[EvaluationRecord]":
    from pydantic import TypeAdapter  # a tenth of a second, which not every start needs

    return TypeAdapter(EvaluationRecord)


def to_json(record: EvaluationRecord) -> dict[str, Any]:
    """Return plain values for JSON, without what is at its default; numbers that JSON lacks become null."""
    return {"format": FORMAT, "version": VERSION, **json.loads(_schema().dump_json(record, exclude_defaults=True))}


def read_evaluation(path: Path) -> EvaluationRecord:
    """Read an ``evaluation.json``, or the record in an export's ``config.json``; the file may be untrusted.

    Raises:
        CganError: The file is missing, damaged, or holds no evaluation record.
    """
    try:
        content = read_json(path)
        content = content["evaluation"] if path.name == "config.json" else content
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        return _schema().validate_json(json.dumps(content), strict=True)
    except (CganError, OSError, TypeError, ValueError, LookupError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(f"{type(error).__name__}: {error}".split())
        raise CganError(
            f"{path}: not an evaluation record of version {VERSION} ({reason:.120}); `cgan evaluate` writes one"
        ) from error


def write_evaluation(path: Path, record: EvaluationRecord) -> None:
    """Write a record, whole or not at all.

    Raises:
        CganError: The file cannot be written.
    """
    text = json.dumps(to_json(record), indent=2, ensure_ascii=False, allow_nan=False)
    write_file(path, (text + "\n").encode())


def relative_file(path: Path, folder: Path) -> str:
    """Return the place of a generator as an entry's ``file`` has it: relative to the folder of the record."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


class EvaluationIndex:
    """Finds the evaluation of a generator in ``logs/evaluate/runs/*/``; a file is read again when it has changed."""

    def __init__(self, logs: Path) -> None:
        stamps = {path: changed_at(path) for path in logs.absolute().glob(f"evaluate/runs/*/{FILE}")}
        self._newest_first: dict[Path, list[tuple[int, Path, int]]] = {}
        for path in sorted(stamps, key=lambda path: stamps[path], reverse=True):
            for file, position in _files_of(path, stamps[path]):
                self._newest_first.setdefault(file, []).append((stamps[path], path, position))

    def find(self, generator: Path) -> FoundEvaluation | None:
        """Return the newest evaluation of a generator, else its run's own, else its export's; None: not evaluated.

        One of fewer samples than the run or the export has does not count: a glance replaces no measurement.

        Args:
            generator: A ``.ckpt`` file or an exported folder, as :func:`cgan.checkpoint.find_generator` returns it.
        """
        written = changed_at(generator)
        own = _of_export(generator, written) if generator.is_dir() else _of_run(generator)
        least = own.record.protocol.n if own else 0
        for stamp, path, position in self._newest_first.get(generator.resolve(), []):
            record = _read(path, stamp) if stamp >= written else None  # else the generator was written again since
            if record and record.protocol.n >= least:
                return FoundEvaluation(record, record.entries[position])
        return own


def find_evaluation(generator: Path, logs: Path = Path("logs")) -> FoundEvaluation | None:
    """Return what was measured of one generator, see :meth:`EvaluationIndex.find`; for many, use the index itself."""
    return EvaluationIndex(logs).find(generator)


@lru_cache(maxsize=2**14)
def _files_of(path: Path, changed: int) -> list[tuple[Path, int]]:
    """Return the generators that a record is about, with their positions among its entries."""
    record = _read(path, changed)
    if record is None or record.protocol.truncation != 1:  # of a choice of its images, not of the generator
        return []
    files = [((path.parent / entry.file).resolve(), n) for n, entry in enumerate(record.entries) if entry.file]
    return [(file, n) for file, n in files if record.protocol.weights == "ema" or file.suffix != ".ckpt"]


MOST_KNOWN = 2048
_records: dict[Path, tuple[int, EvaluationRecord | None]] = {}
"""The newest record of a file, by when it was written: one for each, since a run that trains writes its own again."""


def _read(path: Path, changed: int) -> EvaluationRecord | None:
    """Read a record; None where it is damaged, or of another version: as if it were not there."""
    if not changed:
        return None
    known = _records.get(path)
    if known is None or known[0] != changed:
        found = None
        with suppress(CganError):
            found = read_evaluation(path)
        if len(_records) >= MOST_KNOWN:
            _records.clear()
        _records[path] = known = changed, found
    return known[1]


def _of_export(folder: Path, written: int) -> FoundEvaluation | None:
    record = _read(folder / "config.json", written)
    return FoundEvaluation(record, record.entries[0]) if record and record.entries else None


def _of_run(checkpoint: Path) -> FoundEvaluation | None:
    """Take the epoch that the checkpoint holds: the record may be of one that was not saved, or not yet."""
    path = run_of(checkpoint) / FILE
    record = _read(path, changed_at(path))
    if record is None or not record.entries:
        return None
    entry = record.entries[0]
    seen = _images_seen(checkpoint, changed_at(checkpoint))
    if seen == entry.images_seen:
        return FoundEvaluation(record, entry)
    for point in entry.curve:
        if point.images_seen == seen:
            other = replace(entry, values=point.values, class_values={}, confusion=[], images_seen=seen)
            return FoundEvaluation(record, replace(other, epoch=point.epoch, seconds=None))
    return None


@lru_cache(maxsize=2048)
def _images_seen(checkpoint: Path, changed: int) -> int | None:
    try:
        return read_description(checkpoint).get("images_seen")
    except CganError:
        return None
