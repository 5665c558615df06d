"""What share of a default run goes to quality metrics? `python benchmarks/quality_cost.py`."""

import tempfile
from pathlib import Path

from cgan.config import compose
from cgan.files import read_lines
from cgan.tasks.train import run
from common import Row, keep, row

MODELS = ("mlp", "light")


def main(epochs: int = 2) -> None:
    """Train ``epochs`` whole epochs of MNIST with each model at defaults and read the run's own clock."""
    keep("quality_cost", [entry for model in MODELS for entry in measure(model, epochs)])


def measure(model: str, epochs: int) -> list[Row]:
    """Return the share of quality in ``time/train_s + time/quality_s``, and both, over epochs."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run(compose("train", [f"model={model}", f"trainer.max_epochs={epochs}"], Path(folder)))
        lines = read_lines(Path(folder) / "metrics.jsonl")
    quality = [line["time/quality_s"] for line in lines if "time/quality_s" in line]
    train = [line["time/train_s"] for line in lines if "time/train_s" in line]
    shares = [some / (some + other) for some, other in zip(quality, train, strict=True)]
    return [
        row(f"{model}: quality's share of an epoch", shares, "", at_most=0.1),
        row(f"{model}: quality per epoch, 10,000 samples", quality, "s"),
        row(f"{model}: training per epoch, 60,000 images", train, "s"),
    ]


if __name__ == "__main__":
    main()
