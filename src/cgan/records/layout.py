"""Where a run's checkpoints lie in its folder."""

from pathlib import Path

CHECKPOINTS = "checkpoints"
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


def checkpoints_of(run: Path) -> list[Path]:
    """Return the checkpoints of a run folder, sorted by name."""
    return sorted((run / CHECKPOINTS).glob("*.ckpt"))


def checkpoints_under(folder: Path) -> list[Path]:
    """Return the checkpoints of all run folders at any depth, sorted."""
    return sorted(folder.glob(f"**/{CHECKPOINTS}/*.ckpt"))


def run_of(checkpoint: Path) -> Path:
    """Return the folder of the run that a checkpoint belongs to."""
    return checkpoint.parent.parent


def drawn_from(run: Path) -> Path | None:
    """Return the checkpoint that a run draws from: that of the best epoch, else the last one; None without either."""
    return next((path for name in (BEST, LAST) if (path := run / CHECKPOINTS / name).is_file()), None)
