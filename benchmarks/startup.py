"""How long until the first picture, and until the first training step? `python benchmarks/startup.py`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from common import interleave, keep, row

ROOT = Path(__file__).parents[1]


def main(rounds: int = 3) -> None:
    """Start each program ``rounds`` times, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = f"hydra.run.dir={folder}"
        step = ["train.py", "debug=one_batch", place]
        seconds = interleave(
            {
                "torch": lambda: start("-c", "import torch"),
                "picture": lambda: start("sample.py", "classes=7", "ckpt=pretrained", place),
                "step": lambda: start(*step, "quality=none"),
                "quality": lambda: start(*step),
            },
            rounds,
        )
    allowed = [spent * 1.5 + 1 for spent in seconds["torch"]]
    shares = [ours / most for ours, most in zip(seconds["picture"], allowed, strict=True)]
    keep(
        "startup",
        [
            row("python -c 'import torch'", seconds["torch"], "s"),
            row("sample.py classes=7, start to picture", seconds["picture"], "s"),
            row("sample.py over (1.5 x import torch + 1 s)", shares, "x", at_most=1),
            row("train.py, one step and its checkpoint, quality=none", seconds["step"], "s"),
            row("train.py, the same and the features of all real images", seconds["quality"], "s"),
        ],
    )


def start(*arguments: str) -> None:
    """Run Python with these arguments to its end."""
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    main()
