"""Sharing: an exported generator goes to the Hugging Face hub, checked first."""

from pathlib import Path

from cgan import hub
from cgan.archive import ANOTHER
from cgan.checkpoint import find_generator, load_generator
from cgan.commands import command
from cgan.errors import CganError


def run(folder: Path, repository: str, *, private: bool = False) -> str:
    """Send an exported folder and return how others draw from it.

    Raises:
        CganError: It is no exported folder, cannot be read, or the hub does not take it.
    """
    if missing := [name for name in (*hub.FILES, "README.md") if not (folder / name).is_file()]:
        export = _export(folder, complete=missing == ["README.md"])
        raise CganError(f"{folder}: no {missing[0]} in it; make an export first, and push that: `{export}`")
    try:
        load_generator(folder)
    except CganError as error:
        raise CganError(str(error).replace(ANOTHER, "export it again")) from error
    address = hub.upload(folder, repository, private)
    return f"Sent. Others draw from it by `{command('sample', f'ckpt={address}')}`"


def _export(folder: Path, complete: bool) -> str:
    """Return the command that makes an export of what is there, a run or a ``.ckpt``, and where it may be written.

    Args:
        folder: What was to be sent.
        complete: It is an export that lacks nothing but its card.
    """
    try:
        source = [f"ckpt={folder}"] if complete or find_generator(folder).path != folder else []
    except CganError:
        source = []
    free = not folder.exists() or (folder / "config.json").is_file() or (folder.is_dir() and not any(folder.iterdir()))
    around = folder if folder.is_dir() else folder.parent
    return command("export", *source, f"out={folder if free else around / 'export'}")
