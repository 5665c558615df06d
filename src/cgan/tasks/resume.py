"""``ckpt=``: a resumed run goes on with its own choices, in its own folder; an evaluated one with its own data."""

import hashlib
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.utils import get_args
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from cgan.cluster import is_first_process, requeued, started_again
from cgan.config import CONF, listed, quoted
from cgan.errors import CganError
from cgan.files import read_text
from cgan.records.layout import BEST, CHECKPOINTS, LAST, PREVIOUS, checkpoints_under, run_of
from cgan.records.run import read_run

RUNS = Path("logs/train")
LENGTHS = ("max_images", "budget", "trainer.max_epochs")
"""The ways to say how long a run is, the first counts before the others: one that is typed replaces all stored ones."""
LONGEST_FILE, LONGEST_OVERRIDE = 2**20, 10_000
"""Bytes of a file in `.hydra`, letters of an override in it."""
NETWORKS = ("model", "model/generator", "model/discriminator")


def resumed_arguments(arguments: list[str], runs: Path = RUNS) -> list[str]:
    """Complete a command line: one that resumes gets the run's stored overrides and its folder.

    Processes that a launcher started together, and jobs that a cluster started again, get a folder in common.

    Args:
        arguments: Hydra overrides as typed; with ``ckpt=PATH`` (a ``.ckpt`` or a run folder) or ``ckpt=last``.
        runs: Where ``last`` looks for the run with the newest checkpoint.

    Returns:
        The overrides that the run was started with, then those typed now, then ``ckpt=FILE`` and the run folder.

    Raises:
        CganError: There is no such checkpoint, or its stored overrides would import code.
    """
    overrides = get_args(arguments).overrides
    values = _values(overrides)
    if not values.get("ckpt"):
        return [*arguments, *_common_folder(arguments, runs)]
    flags = [argument for argument in arguments if argument not in overrides]  # Hydra reads overrides in one piece only
    typed = [override for override in overrides if not override.startswith("ckpt=")]
    checkpoint = _find(str(values["ckpt"]), runs)
    folder = run_of(checkpoint)
    stored = folder / ".hydra" / "overrides.yaml"
    if not stored.is_file():
        return [*flags, *typed, f"ckpt={quoted(checkpoint)}", *_common_folder(arguments, runs)]
    known = _stored_overrides(stored)
    before = {entry.key_or_group: entry.value() for entry in known}
    if "budget" in values and str(values["budget"]) != str(before.get("budget")):
        raise CganError(f"budget={values['budget']}: a run that goes on keeps its length; type max_images= instead")
    replaced = {*values, *(LENGTHS if set(LENGTHS) & values.keys() else ())}
    kept = [entry.input_line or "" for entry in known if entry.key_or_group not in replaced]
    _refuse_imports(stored, kept)
    _check_networks(folder, [change for change in typed if change not in {entry.input_line for entry in known}])
    place = [] if "hydra.run.dir" in values else [f"hydra.run.dir={quoted(folder)}"]
    return [*flags, *kept, *typed, f"ckpt={quoted(checkpoint)}", *place]


def evaluated_arguments(arguments: list[str]) -> list[str]:
    """Complete a command line that evaluates: without ``data=`` the first generator's own data are compared with.

    Those of a run are chosen as in its stored overrides, and so are the features that it was measured by; those of an
    exported generator by the name of its data set. A single key that is typed, such as ``data.root=``, counts instead
    of the stored one. What is neither among the packaged choices nor in ``--config-dir``, and what cannot be read, is
    left to the evaluation.

    Raises:
        CganError: A run's stored overrides of its data or features would import code; ``data=`` stands beside
            ``images2=``, which takes its place.
    """
    values = _values(get_args(arguments).overrides)
    if values.get("images2") and (data := next((key for key in values if re.match(r"data\b", key)), None)):
        raise CganError(f"{data}=: images2= takes the place of data= and is read as it is; leave one of both out")
    if {"data", "images2"} & values.keys() or ("images" in values and not values.get("ckpt")):
        return arguments
    if (found := _first_evaluated(values)) is None:
        return arguments
    typed = get_args(arguments).config_dir
    own = _own_choices(found, [CONF, *([Path(typed)] if typed else [])])
    if any(re.match(r"features\b", key) for key in values):
        own = [line for line in own if not line.lstrip("+~").startswith("features")]
    own = [line for line in own if line.lstrip("+~").partition("=")[0] not in values]  # what is typed counts
    return [*own, *arguments]  # options may end the arguments, and overrides stand together


def _first_evaluated(values: dict[str, Any]) -> Path | None:
    """Return the file or folder of the first generator that ``ckpt`` and ``runs`` name; None if there is none."""
    from cgan.checkpoint import find_generator  # imports torch, which takes a second

    sources = listed(values.get("ckpt"))
    if runs := values.get("runs"):
        sources += [*checkpoints_under(Path(str(runs))), runs]
    try:
        return find_generator(str(sources[0]) if sources else None).path
    except CganError:
        return None


def _own_choices(found: Path, folders: list[Path]) -> list[str]:
    """Return the choices of a generator's data set and features, as far as options in these folders name them."""
    from cgan.checkpoint import read_description

    folder = run_of(found)
    stored, record = folder / ".hydra" / "overrides.yaml", read_run(folder)
    if not found.is_dir() and record and stored.is_file():
        lines = [entry.input_line or "" for entry in _stored_overrides(stored)]
        own = _of_group("data", record.data, lines, folders)
        own += _of_group("features", record.features, lines, folders) if own else []
        _refuse_imports(stored, own)
        return own
    try:
        spec = read_description(found).get("spec")
    except CganError:
        return []
    return _of_group("data", str(spec.get("name")), without_labels(spec), folders) if isinstance(spec, dict) else []


def without_labels(spec: dict[str, Any]) -> list[str]:
    """Return the overrides by which a data set has one class, or groups of alike images, as that of this spec has."""
    factors, names = spec.get("factors") or [], spec.get("class_names") or []
    if spec.get("grouped"):
        groups = f"[{','.join(map(str, factors))}]" if len(factors) > 1 else len(names)
        return ["data.conditional=false", f"data.groups={groups}"]
    return ["data.conditional=false"] if len(names) == 1 else []


def _of_group(group: str, option: str, lines: list[str], folders: list[Path]) -> list[str]:
    """Return the choice of an option of these folders and, of a run's overrides, those of its keys; else nothing."""
    known = re.fullmatch(r"\w+", option) and any((folder / group / f"{option}.yaml").is_file() for folder in folders)
    if not known:
        return []
    return [f"{group}={option}", *(line for line in lines if line.lstrip("+~").startswith((f"{group}.", f"{group}@")))]


def first_checkpoint(typed: str | None, folder: Path) -> str | Path | None:
    """Return the checkpoint that a run goes on from: the typed one, or that of a job that was started again.

    A job that began with another run's checkpoint, or with an older one of its own, goes on from what it has written
    since. torchrun cannot tell a later start from the first, so beside an own checkpoint the typed one counts there.

    Raises:
        CganError: The run of a job that was started again has checkpoints, and none is whole.
    """
    own = typed is not None and run_of(Path(typed)).resolve() == folder.resolve()
    if requeued() or (started_again() and not own):
        return newest_good(folder) or typed
    return typed


def newest_good(folder: Path) -> Path | None:
    """Return a run's newest checkpoint that is whole, and say so on stderr if a newer one is not; None if it has none.

    Raises:
        CganError: It has checkpoints, and none is whole.
    """
    from cgan.archive import check_archive  # imports torch, which takes a second

    errors = []
    for path in (folder / CHECKPOINTS / name for name in (LAST, PREVIOUS, BEST)):
        if not path.is_file():
            continue
        try:
            check_archive(path)
        except CganError as error:
            errors.append(error)
            continue
        for damage in errors if is_first_process() else []:
            print(f"warning: {damage}; going on from {path}", file=sys.stderr)
        return path.absolute()
    if errors:
        raise errors[0]
    return None


def _find(requested: str, runs: Path) -> Path:
    if requested == "last":
        found = sorted(checkpoints_under(runs), key=lambda path: path.stat().st_mtime)
        if not found:
            raise CganError(f"ckpt=last: no checkpoints under {runs.absolute()}; name one with ckpt=PATH")
        folder = run_of(found[-1])
    else:
        folder = Path(requested)
        if folder.is_file():
            return folder.absolute()
        if (folder / "config.json").is_file():
            raise CganError(f"ckpt={folder}: an exported generator has no discriminator to train with; name its run")
    checkpoint = newest_good(folder)
    if checkpoint is None:
        raise CganError(f"ckpt={folder}: no such checkpoint; expected a .ckpt file, a run folder or `last`")
    return checkpoint


def _common_folder(arguments: list[str], runs: Path) -> list[str]:
    """Return the run folder of processes of one training, as an override; without a launcher the clock names it."""
    if get_args(arguments).multirun or any(argument.startswith("hydra.run.dir") for argument in arguments):
        return []  # a place was typed, or this is a sweep, which places its runs itself
    if "SLURM_JOB_ID" in os.environ:
        command = hashlib.sha256(" ".join(arguments).encode()).hexdigest()[:8]  # a job may train more than once
        name = f"slurm_{os.environ['SLURM_JOB_ID']}_{command}"
    elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        name = _agreed_on("cgan_run_folder", time.strftime("%Y-%m-%d_%H-%M-%S"))
    elif "TORCHELASTIC_RUN_ID" in os.environ:
        raise CganError("torchrun's processes have no store to agree on a run folder: type hydra.run.dir=FOLDER")
    else:
        return []
    return [f"hydra.run.dir={quoted((runs / 'runs' / name).absolute())}"]


def _agreed_on(key: str, value: str) -> str:
    """Return the value that the first of torchrun's processes suggested; it outlives their restarts."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.compare_set(key, "", value).decode()


def _stored_overrides(stored: Path) -> list[Override]:
    """Read the overrides that a run was started with; Hydra's parser takes time with the square of one's length."""
    try:
        lines = yaml.safe_load(read_text(stored, LONGEST_FILE))
        if max(map(len, lines), default=0) > LONGEST_OVERRIDE:
            raise CganError(
                f"{stored}: an override has more than {LONGEST_OVERRIDE:,} letters; type the run's overrides"
            )
        return OverridesParser.create().parse_overrides(lines)
    except (ValueError, yaml.YAMLError, RecursionError, HydraException, TypeError, AttributeError) as error:
        raise CganError(f"{stored}: expected a list of overrides; delete it and type the run's overrides") from error


def _refuse_imports(stored: Path, overrides: list[str]) -> None:
    """Refuse overrides that would import code: modules and classes are named by the user, not by a file."""
    for line in overrides:
        key = line.partition("=")[0].lstrip("+~")
        if key == "plugins":
            raise CganError(f"{stored}: the run used plugins of its own; type {line!r:.200} as well if you trust them")
        # A resolver such as ${oc.decode:...} could put a forbidden word together, or read the environment.
        imports = "_target_" in line or "${" in line or key.startswith("hydra")
        # What a group chooses is named by a word; a path would lead to a YAML that came with the file.
        chooses = "." not in key.partition("@")[0] and key != "run_name"
        if imports or (chooses and re.search(r"\.\.|[/\\]", line.partition("=")[2])):
            raise CganError(f"{stored}: {line!r:.200} could run code that a file names; type it if you trust it")


def _check_networks(folder: Path, changes: list[str]) -> None:
    """Refuse to go on with other networks than a run was trained with, before its stored overrides are written anew."""
    for change in changes:
        if change.startswith(("model.generator.", "model.discriminator.")):
            raise CganError(f"{change}: {folder} keeps the networks that it was trained with; leave this out")
    try:
        stored = yaml.safe_load(read_text(folder / ".hydra" / "hydra.yaml", LONGEST_FILE))
        choices = stored["hydra"]["runtime"]["choices"]
    except (OSError, ValueError, yaml.YAMLError, RecursionError, KeyError, TypeError):
        return  # then the sizes of the weights tell
    for group, _, name in (change.partition("=") for change in changes):
        if group in NETWORKS and name != choices.get(group):
            raise CganError(f"{folder} was trained with {group}={choices.get(group)}; leave {group}= out")


def _values(overrides: list[str]) -> dict[str, Any]:
    try:
        return {entry.key_or_group: entry.value() for entry in OverridesParser.create().parse_overrides(overrides)}
    except HydraException:  # the same error ends the command when Hydra reads it
        return {}
