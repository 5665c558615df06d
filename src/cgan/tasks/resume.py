"""``ckpt=``: a resumed run goes on with its own choices, in its own folder."""

import hashlib
import os
import sys
import time
from pathlib import Path

import yaml

from cgan.archive import check_archive
from cgan.errors import CganError

RUNS = Path("logs/train")


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
    typed = [argument for argument in arguments if _key(argument) != "ckpt"]
    wanted = next((argument.partition("=")[2] for argument in arguments if _key(argument) == "ckpt"), "null")
    if wanted in ("null", ""):
        return [*arguments, *_common_place(arguments, runs)]
    checkpoint = _find(wanted, runs)
    folder = checkpoint.parent.parent
    stored = folder / ".hydra" / "overrides.yaml"
    if not stored.is_file():
        return [*typed, f"ckpt={_quoted(checkpoint)}"]
    overrides = _read_overrides(stored)
    keys = {_key(argument) for argument in typed} | {"ckpt"}
    kept = [override for override in overrides if _key(override) not in keys]
    place = [] if "hydra.run.dir" in keys else [f"hydra.run.dir={_quoted(folder)}"]
    return [*kept, *typed, f"ckpt={_quoted(checkpoint)}", *place]


def started_again() -> bool:
    """Whether SLURM or torchrun started this process again after an end that was not its own."""
    return any(os.environ.get(name, "0") != "0" for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))


def newest_good(folder: Path) -> Path | None:
    """Return a run's newest checkpoint that is whole, and say so on stderr if a newer one is not; None if it has none.

    Raises:
        CganError: It has checkpoints, and none is whole.
    """
    errors = []
    for path in (folder / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous", "best")):
        if not path.is_file():
            continue
        try:
            check_archive(path)
        except CganError as error:
            errors.append(error)
            continue
        for damage in errors if _speaks() else []:
            print(f"warning: {damage}; going on from {path}", file=sys.stderr)
        return path.absolute()
    if errors:
        raise errors[0]
    return None


def _find(wanted: str, runs: Path) -> Path:
    if wanted == "last":
        found = sorted(runs.glob("**/checkpoints/*.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise CganError(f"ckpt=last: no checkpoints under {runs.absolute()}; name one with ckpt=PATH")
        folder = found[-1].parent.parent
    else:
        folder = Path(wanted.strip("'\""))
        if folder.is_file():
            return folder.absolute()
    checkpoint = newest_good(folder)
    if checkpoint is None:
        raise CganError(f"ckpt={folder}: no such checkpoint; expected a .ckpt file, a run folder or `last`")
    return checkpoint


def _common_place(arguments: list[str], runs: Path) -> list[str]:
    """Return the run folder of processes that belong together, as an override; elsewhere the clock names it."""
    if any(_key(argument).startswith(("hydra.run.dir", "-")) for argument in arguments):
        return []  # a place was typed, or this is a sweep, which places its runs itself
    if "SLURM_JOB_ID" in os.environ:
        command = hashlib.sha256(" ".join(arguments).encode()).hexdigest()[:8]  # a job may train more than once
        name = f"slurm_{os.environ['SLURM_JOB_ID']}_{command}"
    elif os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        name = _agreed_on(time.strftime("%Y-%m-%d_%H-%M-%S"))
    else:
        return []
    return [f"hydra.run.dir={_quoted((runs / 'runs' / name).absolute())}"]


def _agreed_on(name: str) -> str:
    """Return the name that the first of torchrun's processes suggested."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.compare_set("cgan_run_folder", "", name).decode()


def _read_overrides(stored: Path) -> list[str]:
    try:
        overrides = yaml.safe_load(stored.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CganError(f"{stored}: expected a list of overrides, found no valid YAML; delete it") from error
    if not isinstance(overrides, list) or not all(isinstance(entry, str) for entry in overrides):
        raise CganError(f"{stored}: expected a list of overrides; delete it and type the run's overrides")
    # A resolver such as ${oc.decode:...} could put a forbidden word together, or read the environment.
    forbidden = [entry for entry in overrides if any(word in entry for word in ("_target_", "${"))]
    if unsafe := forbidden + [entry for entry in overrides if _key(entry).startswith("hydra")]:
        raise CganError(
            f"{stored}: {unsafe[0]!r:.200} could run code that a file names; type it yourself if you trust it"
        )
    return overrides


def _speaks() -> bool:
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0"))) == "0"


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
