"""What is to be judged: generators and pictures made elsewhere, found and checked before any long work."""

import json
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig

from cgan.checkpoint import PRETRAINED, Found, find_generator, load_generator, read_description
from cgan.data.pictures import read_pictures
from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.files import read_lines
from cgan.networks import Generator
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
PRIVATE = ("hydra", "ckpt", "data.root", "run_name")
"""Overrides that say where a run was made and not what it is."""
CURVE = ("fid", "label_agreement")


@dataclass(frozen=True)
class Judged:
    """A generator, or pictures.

    Attributes:
        name: What it is called in tables; unique.
        source: Where it comes from, as it was typed.
        generator: Ready to draw; None for pictures.
        pictures: None for a generator.
        origin: What is known of its making, in plain values.
    """

    name: str
    source: str
    generator: Generator | None = None
    pictures: Split | None = None
    origin: dict[str, Any] = field(default_factory=dict)


def collect(cfg: DictConfig, spec: DataSpec) -> list[Judged]:
    """Load what ``cfg`` names by ``ckpt``, ``runs`` and ``images``, in this order.

    Raises:
        CganError: Something is missing, damaged or not of the kind of ``spec``.
    """
    pictures = _listed(cfg.images)
    sources = _listed(cfg.ckpt) + (runs_in(Path(cfg.runs)) if cfg.runs is not None else [])
    if not sources and not pictures:
        sources = [str(find_generator(None).path)]
    found = [find_generator(source) for source in sources]
    names = _names(cfg.names, [_names_of(entry) for entry in found] + [(Path(p).stem, Path(p).name) for p in pictures])
    judged = [
        Judged(name, source, generator=_load(source, entry, cfg, spec), origin=origin_of(entry))
        for name, source, entry in zip(names, sources, found, strict=False)
    ]
    for name, source in zip(names[len(found) :], pictures, strict=True):
        judged.append(Judged(name, source, pictures=read_pictures(Path(source), spec)))
    return judged


def described(entry: Judged) -> dict[str, Any]:
    """Return what is known of a column's making: network and size of a generator, and its origin."""
    if entry.generator is None:
        return {}
    parameters = sum(weight.numel() for weight in entry.generator.parameters())
    return {"network": type(entry.generator).__name__, "parameters": parameters, **entry.origin}


def runs_in(folder: Path) -> list[str]:
    """Return every run folder under ``folder``, sorted.

    Raises:
        CganError: There is none.
    """
    runs = {path.parent.parent for path in folder.glob("**/checkpoints/*.ckpt")}
    if not runs:
        raise CganError(f"runs={folder}: expected run folders with checkpoints in it, found none")
    return [str(run) for run in sorted(runs)]


def origin_of(found: Found) -> dict[str, Any]:
    """Return what the files tell of a generator's making; what they do not tell is left out.

    Keys: ``images_seen``, ``seconds`` of training up to this checkpoint, ``hardware``, ``command``, ``trained_on``, and
    ``curve``, the run's own log of quality against time.
    """
    if found.path.is_dir():
        described = json.loads((found.path / "config.json").read_text())
        known = {"trained_on": described["spec"]["name"], "images_seen": described.get("images_seen")}
        return {key: value for key, value in {**known, **described.get("training", {})}.items() if value is not None}
    described, run = read_description(found.path), found.path.parent.parent
    seconds, command = training_seconds(run, described["images_seen"]), training_command(run)
    known = {"trained_on": described["spec"]["name"], "images_seen": described["images_seen"], "seconds": seconds}
    known |= {"hardware": described.get("hardware"), "command": command, "curve": learning_curve(run) or None}
    return {key: value for key, value in known.items() if value is not None}


def training_seconds(run: Path, images_seen: int) -> float | None:
    """Add up the time of a run's epochs until ``images_seen``: training alone, without grids and metrics."""
    epochs = [row for row in read_lines(run / "metrics.jsonl") if "speed/images_per_s" in row]
    seconds, before = 0.0, 0
    for row in epochs:
        if row["images_seen"] <= images_seen:
            seconds += (row["images_seen"] - before) / row["speed/images_per_s"]
            before = row["images_seen"]
    return round(seconds, 3) if before else None


def learning_curve(run: Path) -> list[dict[str, float]]:
    """Return a run's ``fid`` and ``label_agreement`` with the seconds of training and of measuring until then."""
    epochs: dict[float, dict[str, float]] = {}
    for row in read_lines(run / "metrics.jsonl"):  # one row per callback
        epochs.setdefault(row["images_seen"], {}).update(row)
    curve, seconds = [], 0.0
    for images_seen, row in epochs.items():
        seconds += row.get("time/train_s", 0.0) + row.get("time/quality_s", 0.0)
        found = {name: value for tag, value in row.items() for name in CURVE if tag.startswith(f"quality/{name}_")}
        if found:
            curve.append({"images_seen": images_seen, "seconds": round(seconds, 3), **found})
    return curve


def training_command(run: Path) -> str | None:
    """Return the command that made a run, without the places it was made in."""
    stored = run / ".hydra" / "overrides.yaml"
    if not stored.is_file():
        return None
    overrides = yaml.safe_load(stored.read_text()) or []
    kept = [str(entry) for entry in overrides if not str(entry).lstrip("+~").startswith(PRIVATE)]
    return " ".join(["python train.py", *kept])


def _load(source: str, found: Found, cfg: DictConfig, spec: DataSpec) -> Generator:
    generator = load_generator(found.path, weights=cfg.weights, device=cfg.device)
    drawn = generator.spec
    assert drawn is not None
    if (drawn.img_shape, drawn.class_names) != (spec.img_shape, spec.class_names):
        raise CganError(
            f"ckpt={source}: it draws {drawn.name} ({drawn.num_classes} classes of {drawn.img_shape}), {spec.name} "
            f"has {spec.num_classes} classes of {spec.img_shape}; set data= to what it was trained on"
        )
    if not all(weight.isfinite().all() for weight in generator.state_dict().values()):
        raise CganError(f"ckpt={source}: its weights hold NaN or infinity; training diverged, name another checkpoint")
    if drawn.name != spec.name:
        log.info("%s was trained on %s and is compared with %s", source, drawn.name, spec.name)
    return generator


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, ListConfig | list) else [str(value)]


def _names_of(found: Found) -> tuple[str, str]:
    """Return a short name for a generator, and a longer one in case that it is not the only one."""
    if found.path.is_dir():
        long = f"{found.path.parent.name}-{found.path.name}"
        return (long if found.path.parent == PRETRAINED else found.path.name), long
    run = found.path.absolute().parent.parent.name if found.path.parent.name == "checkpoints" else ""
    return run or found.path.stem, f"{run}-{found.path.stem}".lstrip("-")


def _names(chosen: Any, candidates: list[tuple[str, str]]) -> list[str]:
    """Choose a name for each: what the user said, else the short one where it is the only one, else the long one."""
    if chosen is not None:
        given = _listed(chosen)
        if len(given) != len(candidates) or len({*given, "floor"}) != len(given) + 1:
            raise CganError(f"names={given}: expected {len(candidates)} different names, one for each that is judged")
        return given
    taken = Counter([short for short, _ in candidates] + ["floor"])
    names: list[str] = []
    for short, long in candidates:
        name = short if taken[short] == 1 else long
        names.append(f"{name}-{len(names) + 1}" if name in names else name)
    return names
