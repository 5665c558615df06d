"""``ckpt=``: a resumed run goes on with its own choices, in its own folder."""

from pathlib import Path

import yaml

from cgan.errors import CganError

RUNS = Path("logs/train")


def resumed_arguments(arguments: list[str], runs: Path = RUNS) -> list[str]:
    """Complete a command line that resumes: add the run's stored overrides and its folder.

    Args:
        arguments: Hydra overrides as typed; with ``ckpt=PATH`` (a ``.ckpt`` or a run folder) or ``ckpt=last``.
        runs: Where ``last`` looks for the newest ``last.ckpt``.

    Returns:
        The overrides that the run was started with, then those typed now, then ``ckpt=FILE`` and the run folder.

    Raises:
        CganError: There is no such checkpoint, or its stored overrides would import code.
    """
    typed = [argument for argument in arguments if _key(argument) != "ckpt"]
    wanted = next((argument.partition("=")[2] for argument in arguments if _key(argument) == "ckpt"), "null")
    if wanted in ("null", ""):
        return arguments
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


def _find(wanted: str, runs: Path) -> Path:
    if wanted == "last":
        found = sorted(runs.glob("**/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
        if not found:
            raise CganError(f"ckpt=last: no checkpoints/last.ckpt under {runs.absolute()}; name one with ckpt=PATH")
        return found[-1].absolute()
    path = Path(wanted.strip("'\""))
    path = path / "checkpoints" / "last.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise CganError(f"ckpt={wanted}: no such checkpoint; expected a .ckpt file, a run folder or `last`")
    return path.absolute()


def _read_overrides(stored: Path) -> list[str]:
    try:
        overrides = yaml.safe_load(stored.read_text())
    except yaml.YAMLError as error:
        raise CganError(f"{stored}: expected a list of overrides, found no valid YAML; delete it") from error
    if not isinstance(overrides, list) or not all(isinstance(entry, str) for entry in overrides):
        raise CganError(f"{stored}: expected a list of overrides; delete it and type the run's overrides")
    if unsafe := [entry for entry in overrides if "_target_" in entry or _key(entry).startswith("hydra")]:
        raise CganError(f"{stored}: {unsafe[0]!r} would run code that a file names; type it yourself if you trust it")
    return overrides


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
