"""The listing of generators: the bundled ones, and every run and export under the logs folder."""

import math
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from cgan.checkpoint import PRETRAINED, find_generator, load_generator
from cgan.errors import CganError
from cgan.records.evaluation import EvaluationIndex
from cgan.spec import DataSpec


@dataclass(frozen=True)
class Model:
    """A generator of the listing.

    Attributes:
        name: ``pretrained/NAME``, or the folder's place under the logs folder, such as
            ``train/runs/2026-11-22_10-00-00``.
        origin: ``pretrained generator``, ``exported generator`` or ``checkpoint``.
        network: The class of the network; empty when the file cannot be read.
        spec: Class names and image shape; None when the file cannot be read.
        values: Values by name, such as ``fid``; empty when it was not evaluated.
        error: Why it cannot be used; None when it can.
        path: The file or folder; for the service alone, never shown to clients.
    """

    name: str
    origin: str
    network: str
    spec: DataSpec | None
    values: dict[str, float]
    error: str | None
    path: Path = field(repr=False)


class Catalog:
    """The listing; a file that cannot be read is listed with its error and never raises.

    Each file is loaded once to see that it can be read; the result is kept by file and modification time.

    Args:
        logs: The folder to look under.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._evaluations = EvaluationIndex(logs)
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, int], Model] = {}
        self._listing: list[Model] = []
        self._listed_at = -math.inf

    def recent(self) -> list[Model]:
        """Return the listing, at most two seconds old: walking a large logs folder at each request would be slow."""
        with self._lock:
            if time.monotonic() - self._listed_at > 2:
                self._list()
            return self._listing

    def models(self) -> list[Model]:
        """List the pretrained generators, then what lies under the logs folder, newest first."""
        with self._lock:
            self._list()
            return self._listing

    def _list(self) -> None:
        bundled = [(f"pretrained/{path.parent.name}", path.parent) for path in sorted(PRETRAINED.glob("*/config.json"))]
        folders = {path.parent.parent for path in self.logs.glob("**/checkpoints/*.ckpt")}
        folders |= {
            path.parent for path in self.logs.glob("**/config.json") if path.with_name("model.safetensors").exists()
        }
        inside = [folder for folder in folders if folder.resolve().is_relative_to(self.logs.resolve())]
        inside.sort(key=lambda folder: (_changed(folder), folder), reverse=True)
        listed = bundled + [(folder.relative_to(self.logs).as_posix(), folder) for folder in inside]
        self._evaluations.refresh()
        known: dict[tuple[Path, int], Model] = {}
        self._listing = [self._describe(name, folder, known) for name, folder in listed]
        self._known = known
        self._listed_at = time.monotonic()

    def _describe(self, name: str, folder: Path, known: dict[tuple[Path, int], Model]) -> Model:
        try:
            found = find_generator(folder)
        except (CganError, OSError) as error:
            return Model(name, "checkpoint", "", None, {}, without_paths(str(error), name, folder), folder)
        origin = "pretrained generator" if name.startswith("pretrained/") else found.origin
        key = found.path, _changed(found.path / "config.json" if found.path.is_dir() else found.path)
        if (model := self._known.get(key)) is None:
            try:
                generator = load_generator(found.path)
                model = Model(name, origin, type(generator).__name__, generator.spec, {}, None, found.path)
            except CganError as error:
                model = Model(name, origin, "", None, {}, without_paths(str(error), name, found.path), found.path)
        known[key] = model
        evaluation = None if model.error else self._evaluations.find(model.path)
        return replace(model, values=evaluation.entry.values if evaluation else {})


def without_paths(message: str, name: str, path: Path) -> str:
    """Put a model's name in the place of its path, so that a message can be shown to clients."""
    for known in (path.absolute(), path):
        message = message.replace(str(known), name)
    return message


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # gone since
