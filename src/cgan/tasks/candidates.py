"""What is to be evaluated: generators and images made elsewhere, found and checked before any long work."""

import logging
import shlex
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from cgan.checkpoint import PRETRAINED, Found, find_generator, load_generator, read_description
from cgan.config import CONF, listed
from cgan.data.folder import FolderSource
from cgan.data.layout import find_classes
from cgan.data.pictures import read_pictures
from cgan.data.pixels import Form, read_picture
from cgan.data.sources import Split
from cgan.data.trees import open_tree
from cgan.errors import CganError, printable
from cgan.networks import Generator
from cgan.records.evaluation import FILE, REAL, Entry, read_evaluation, relative_file
from cgan.records.layout import CHECKPOINTS, checkpoints_under, run_of
from cgan.records.run import read_run
from cgan.records.summary import log_summary
from cgan.spec import DataSpec
from cgan.tasks.resume import without_labels

log = logging.getLogger(__name__)
PRIVATE = ("hydra", "ckpt", "run_name")
"""Overrides that say where a run was made and not what it is."""
ROOT = "data.root="


@dataclass(frozen=True)
class Candidate:
    """A generator or a set of images; ``entry`` has a unique name and no values yet."""

    entry: Entry
    generator: Generator | None = None
    images: Split | None = None


def collect(cfg: DictConfig, spec: DataSpec, folder: Path) -> list[Candidate]:
    """Load what ``cfg`` names by ``ckpt``, ``runs`` and ``images``, in this order, for a record in ``folder``.

    Raises:
        CganError: Something is missing, damaged or does not fit ``spec``.
    """
    images = [str(path) for path in listed(cfg.images)]
    sources = [str(source) for source in listed(cfg.ckpt)] + (runs_in(Path(cfg.runs)) if cfg.runs is not None else [])
    if not sources and not images:
        sources = [str(find_generator(None).path)]
    found = [find_generator(source) for source in sources]
    known = [_names_of(entry) for entry in found] + [(Path(path).stem, Path(path).name) for path in images]
    names = [printable(name) for name in _names(cfg.names, known)]
    candidates = []
    for name, source, one in zip(names, sources, found, strict=False):
        log_summary(one.path)
        generator = _load(source, one, cfg, spec)
        file = relative_file(one.path, folder)
        entry = replace(origin_of(one, generator), name=name, source=printable(source), file=file)
        candidates.append(Candidate(entry, generator))
    for name, source in zip(names[len(found) :], images, strict=True):
        candidates.append(Candidate(Entry(name, source=printable(source)), images=read_pictures(Path(source), spec)))
    return candidates


def folder_as_data(root: str) -> FolderSource:
    """Read a folder or zip as a data set at its pictures' own size; half of it is kept apart, if no test split is.

    Raises:
        CganError: As :class:`cgan.data.folder.FolderSource`.
    """
    tree = open_tree(Path(root), "images2")
    names = find_classes(tree, "pictures")[0]
    if not names:
        return FolderSource(root, test_share=0.5)  # says what is missing
    width, height = read_picture(tree.read(min(names)), Form(3), f"images2: {min(names)}").size
    return FolderSource(root, size=[height, width], test_share=0.5)


def runs_in(folder: Path) -> list[str]:
    """Return every run folder under ``folder``, sorted."""
    runs = {run_of(path) for path in checkpoints_under(folder)}
    if not runs:
        raise CganError(f"runs={folder}: expected run folders with checkpoints in it, found none")
    return [str(run) for run in sorted(runs)]


def origin_of(found: Found, generator: Generator) -> Entry:
    """Return what the files tell of a generator's making; what they do not tell is left out."""
    assert generator.spec is not None
    size = sum(weight.numel() for weight in generator.parameters())
    entry = Entry(found.path.name, network=type(generator).__name__, parameters=size, trained_on=generator.spec.name)
    described = read_description(found.path)
    entry = replace(entry, **{key: described[key] for key in ("images_seen", "hardware", "seconds", "command")})
    if found.path.is_dir():
        return replace(entry, epoch=_own(found.path).epoch)
    run = run_of(found.path)
    own = _own(run)
    epoch = own.epoch if own.images_seen == described["images_seen"] else None
    return replace(entry, command=training_command(run), curve=own.curve, epoch=epoch)


def _own(folder: Path) -> Entry:
    """Return what the record in a run folder or an export says; nothing where there is none."""
    try:
        return read_evaluation(folder / ("config.json" if (folder / "config.json").is_file() else FILE)).entries[0]
    except (CganError, IndexError):
        return Entry("")


def training_command(run: Path) -> str | None:
    """Return the command that made a run, without the places it was made in; a folder of pictures keeps its name."""
    record = read_run(run)
    if record is None:
        return None
    kept = [entry for entry in map(str, record.overrides) if not entry.lstrip("+~").startswith((*PRIVATE, ROOT))]
    roots = [Path(entry.removeprefix(ROOT).strip("'\"")) for entry in record.overrides if entry.startswith(ROOT)]
    kept += [shlex.quote(ROOT + root.name) for root in roots if record.data == "folder"]
    return " ".join(["cgan train", *kept])


def _load(source: str, found: Found, cfg: DictConfig, spec: DataSpec) -> Generator:
    generator = load_generator(found.path, weights=cfg.weights, device=cfg.device)
    own = generator.spec
    assert own is not None
    if (own.img_shape, own.class_names) != (spec.img_shape, spec.class_names):
        data = f"data={own.name}" if _is_known(own.name) else "data= to what it was trained on"
        choices = " ".join([data, *without_labels(own.to_dict())])
        raise CganError(f"ckpt={source}: it draws {own.summary}, the images are {spec.summary}; set {choices}")
    if not all(weight.isfinite().all() for weight in generator.state_dict().values()):
        raise CganError(f"ckpt={source}: its weights hold NaN or infinity; training diverged, name another checkpoint")
    if own.name != spec.name:
        advice = f"; data={own.name} compares it with those" if _is_known(own.name) else ""
        log.info("%s was trained on %s and is compared with %s%s", source, own.name, spec.name, advice)
    return generator


def _is_known(name: str) -> bool:
    """Whether a data set is chosen by its name; a folder of pictures may be called anything."""
    return name in {path.stem for path in (CONF / "data").glob("*.yaml")}


def _names_of(found: Found) -> tuple[str, str]:
    """Return a short name for a generator, and a longer one in case that it is not the only one."""
    if found.path.is_dir():
        long = f"{found.path.parent.name}-{found.path.name}"
        return (long if found.path.parent == PRETRAINED else found.path.name), long
    run = run_of(found.path.absolute()).name if found.path.parent.name == CHECKPOINTS else ""
    return run or found.path.stem, f"{run}-{found.path.stem}".lstrip("-")


def _names(chosen: Any, known: list[tuple[str, str]]) -> list[str]:
    """Choose a name for each: what the user said, else the short one where it is the only one, else the long one."""
    if chosen is not None:
        given = [str(name) for name in listed(chosen)]
        if len(given) != len(known) or len({*given, REAL}) != len(given) + 1:
            raise CganError(f"names={given}: expected {len(known)} different names, one for each that is evaluated")
        return given
    taken = Counter([short for short, _ in known] + [REAL])
    names: list[str] = []
    for short, long in known:
        name = short if taken[short] == 1 else long
        names.append(f"{name}-{len(names) + 1}" if name in names else name)
    return names
