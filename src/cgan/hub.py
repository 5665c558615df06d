"""Generators on the Hugging Face hub, by ``hf://USER/NAME@REVISION``; ``HF_TOKEN`` and ``HF_ENDPOINT`` are its own."""

import re
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

from cgan.errors import CganError

PREFIX = "hf://"
FILES = ["config.json", "model.safetensors"]
"""What a generator needs; nothing else of a repository is downloaded."""


class Address(NamedTuple):
    """A repository ``USER/NAME`` and a branch, tag or commit; None is the newest state."""

    repository: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``hf://USER/NAME`` or ``hf://USER/NAME@REVISION``.

        Raises:
            CganError: It is not of this form.
        """
        found = re.fullmatch(rf"{PREFIX}([\w.-]+/[\w.-]+)(?:@(\S+))?", text)
        if not found:
            raise CganError(f"{text}: expected {PREFIX}USER/NAME or {PREFIX}USER/NAME@REVISION")
        return cls(found[1], found[2])


def download(address: str) -> Path:
    """Return a folder with the files of a generator on the hub; what was fetched before is not fetched again.

    Raises:
        CganError: ``huggingface_hub`` is not installed, the hub cannot be reached, or it has no such generator.
    """
    repository, revision = Address.parse(address)
    hub = _hub()
    try:
        folder = Path(hub.snapshot_download(repository, revision=revision, allow_patterns=FILES))
    except Exception as error:  # what the library raises shares no class
        raise _failed(address, error) from error
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise CganError(f"{address}: it has no {missing[0]}; expected a generator that `cgan export` wrote")
    return folder


def upload(folder: Path, repository: str, private: bool = False) -> str:
    """Send an exported generator to the hub, as a new repository or a new commit; return its address with the commit.

    Args:
        folder: With ``config.json``, ``model.safetensors`` and ``README.md``.
        repository: ``USER/NAME``.
        private: Whether a new repository is hidden from others.

    Raises:
        CganError: ``huggingface_hub`` is not installed, or the hub refuses it or cannot be reached.
    """
    address = f"{PREFIX}{Address.parse(PREFIX + repository.removeprefix(PREFIX)).repository}"
    name, hub = address.removeprefix(PREFIX), _hub()
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        commit = hub.upload_folder(repo_id=name, folder_path=folder, allow_patterns=[*FILES, "README.md"])
    except Exception as error:  # what the library raises shares no class
        raise _failed(address, error) from error
    return f"{address}@{commit.oid}"


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise CganError(f"{PREFIX} needs {error.name}: pip install 'cgan[hub]'") from error
    return huggingface_hub


def _failed(address: str, error: Exception) -> CganError:
    reason = shorten(str(error), 160, placeholder=" ...")
    advice = "check the name and the network; private generators and uploads need `hf auth login`"
    return CganError(f"{address}: {reason}; {advice}")
