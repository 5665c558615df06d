"""A project of the user's own: the example of a plugin, copied into a new folder."""

import shutil
from pathlib import Path

from cgan.commands import command
from cgan.errors import CganError

_PACKAGED = Path(__file__).parents[1] / "skeleton"
SKELETON = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[3] / "examples" / "plugin"
"""What is copied: inside an installed package, or of a checkout."""


def run(folder: Path) -> None:
    """Write the skeleton into a new or empty folder and print what to type next."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CganError(f"{folder}: expected a new or an empty folder; name another one")
    shutil.copytree(SKELETON, folder, ignore=shutil.ignore_patterns("__pycache__", "logs"), dirs_exist_ok=True)
    own = ["--config-dir", str(folder / "conf"), "plugins=[my_gan]"]
    print(f"Written: {folder} (what is in it: {folder / 'README.md'})")
    print(f"Train:   {command('train', *own, 'experiment=shapes')}")
    print(f"Draw:    {command('sample', *own, 'classes=all')}")
