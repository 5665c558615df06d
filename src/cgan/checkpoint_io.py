"""How checkpoints reach the disk and come back."""

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import TorchCheckpointIO

from cgan.archive import read_archive, to_bytes
from cgan.files import write_file


class CheckpointFiles(TorchCheckpointIO):
    """Write beside the target, flush, rename; read only what is whole.

    Lightning's own writer copies over the target from another file system, so that a full disk costs the previous
    checkpoint, and does not flush.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write ``checkpoint``, see :func:`cgan.files.write_file`."""
        write_file(Path(path), to_bytes(checkpoint))

    def load_checkpoint(
        self, path: str | Path, map_location: Any = lambda storage, _: storage, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint after looking at its checksum, see :func:`cgan.archive.read_archive`."""
        return read_archive(Path(path), map_location)
