"""Sharing: an exported generator goes to the Hugging Face hub, checked first."""

from pathlib import Path

from cgan import hub
from cgan.checkpoint import load_generator
from cgan.commands import command
from cgan.errors import CganError


def run(folder: Path, repository: str, *, private: bool = False) -> str:
    """Send an exported folder and return how others draw from it.

    Raises:
        CganError: It is no exported folder, cannot be read, or the hub does not take it.
    """
    if missing := [name for name in (*hub.FILES, "README.md") if not (folder / name).is_file()]:
        raise CganError(
            f"{folder}: no {missing[0]} in it; make an export first: `{command('export', f'out={folder}')}`"
        )
    load_generator(folder)
    address = hub.upload(folder, repository, private)
    return f"Sent. Others draw from it by `{command('sample', f'ckpt={address}')}`"
