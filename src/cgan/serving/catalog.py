"""Which generators there are: those that the package carries, and every run and export under the logs folder."""

import json
import math
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cgan.checkpoint import PRETRAINED, find_generator, read_description
from cgan.errors import CganError
from cgan.measured import measured
from cgan.spec import DataSpec


@dataclass(frozen=True)
class Model:
    """A generator that can be asked for by name.

    Attributes:
        name: ``pretrained/NAME``, or the folder's place under the logs folder, such as
            ``train/runs/2026-11-22_10-00-00``.
        origin: ``pretrained generator``, ``exported generator`` or ``checkpoint``.
        network: The class of the network; empty when the file cannot be read.
        spec: Class names and image shape; None when the file cannot be read.
        values: Measured values by tag, such as ``fid_digits_10k``; empty when nothing was measured.
        error: Why it cannot be used; None when it can.
        path: The file or folder; for the core alone, faces do not show it.
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

    Descriptions are remembered by file and time of change, so that listing again is cheap.

    Args:
        logs: The folder to look under.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._known: dict[tuple[Path, int], Model] = {}
        self._listing: list[Model] = []
        self._listed_at = -math.inf

    def recent(self) -> list[Model]:
        """Return the listing, at most two seconds old: walking a large logs folder for each picture would be slow."""
        if time.monotonic() - self._listed_at > 2:
            self.models()
        return self._listing

    def models(self) -> list[Model]:
        """List the pretrained generators, then what lies under the logs folder, newest first."""
        carried = [(f"pretrained/{path.parent.name}", path.parent) for path in sorted(PRETRAINED.glob("*/config.json"))]
        folders = {path.parent.parent for path in self.logs.glob("**/checkpoints/*.ckpt")}
        folders |= {
            path.parent for path in self.logs.glob("**/config.json") if path.with_name("model.safetensors").exists()
        }
        inside = [folder for folder in folders if folder.resolve().is_relative_to(self.logs.resolve())]
        inside.sort(key=lambda folder: (folder.stat().st_mtime_ns, folder), reverse=True)
        listed = carried + [(folder.relative_to(self.logs).as_posix(), folder) for folder in inside]
        self._listing = [self._describe(name, folder) for name, folder in listed]
        self._listed_at = time.monotonic()
        return self._listing

    def _describe(self, name: str, folder: Path) -> Model:
        try:
            found = find_generator(folder)
            changed = _changed(found.path)
        except (CganError, OSError) as error:
            return Model(name, "checkpoint", "", None, {}, without_paths(str(error), name, folder), folder)
        origin = "pretrained generator" if name.startswith("pretrained/") else found.origin
        key = found.path, changed
        if key not in self._known:
            try:
                described = _read(found.path)
                spec = DataSpec.from_dict(described.get("spec"))
                model = Model(name, origin, str(described.get("network")), spec, {}, None, found.path)
            except CganError as error:
                model = Model(name, origin, "", None, {}, without_paths(str(error), name, found.path), found.path)
            self._known[key] = model
        model = self._known[key]
        return model if model.error else replace(model, values=measured(model.path, self.logs).values)


def without_paths(message: str, name: str, path: Path) -> str:
    """Put a model's name in the place of its path, so that a message can be shown to strangers."""
    for known in (path.absolute(), path):
        message = message.replace(str(known), name)
    return message


def _changed(path: Path) -> int:
    return (path / "config.json" if path.is_dir() else path).stat().st_mtime_ns


def _read(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        return read_description(path)
    try:
        described = json.loads((path / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise CganError(f"{path}: config.json is not readable JSON; export it again") from error
    if not isinstance(described, dict):
        raise CganError(f"{path}: config.json holds no description of a generator; export it again")
    return described
