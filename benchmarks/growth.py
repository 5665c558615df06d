"""Does time per image stay flat as batches, networks and data grow? `python benchmarks/growth.py`."""

import torch

from cgan.data.sources import Split, SplitName
from common import Row, interleave, keep, row
from lightning_run import LightningRun
from pairs import DIGITS, mnist

IMAGES = 4096  # per block
HIDDEN = {"generator": [256, 512, 1024], "discriminator": [512, 256]}
BATCHES = (64, 128, 256, 512, 1024, 2048)
WIDTHS = (1, 2, 4)
SIZES = (5_000, 20_000, 60_000, 240_000)


class Repeated:
    """Real digits, repeated to a given number of images.

    Args:
        real: The training split.
        size: How many images it is to have.
    """

    def __init__(self, real: Split, size: int) -> None:
        self.real, self.size, self.spec = real, size, DIGITS

    def prepare(self) -> None:
        """Nothing to do."""

    def load(self, split: SplitName) -> Split:
        """Repeat the training split, whichever is asked for."""
        index = torch.arange(self.size) % len(self.real.labels)
        return Split(self.real.images[index], self.real.labels[index])


def main(rounds: int = 3) -> None:
    """Measure microseconds per image of our run along each of the three axes."""
    real = mnist().load("train")
    rows = measure("batch", {size: (Repeated(real, 60_000), size, 1) for size in BATCHES}, 128, rounds)
    rows += measure("width", {width: (Repeated(real, 60_000), 128, width) for width in WIDTHS}, 1, rounds)
    rows += measure("data", {size: (Repeated(real, size), 128, 1) for size in SIZES}, 60_000, rounds)
    keep("growth", rows)


def measure(axis: str, points: dict[int, tuple[Repeated, int, int]], base: int, rounds: int) -> list[Row]:
    """Time one run per point (data, batch size, width) in turns."""
    runs = {str(place): run_of(*point) for place, point in points.items()}
    seconds = interleave(runs, rounds)
    for run in runs.values():
        run.close()
    rows = []
    for name, spent in seconds.items():
        rows.append(row(f"mlp: {axis} {name}", [1e6 * each / IMAGES for each in spent], "µs/image"))
        target = {"at_most": 1.1} if axis == "data" and int(name) > base else {}
        ratios = [each / at_base for each, at_base in zip(spent, seconds[str(base)], strict=True)]
        rows.append(row(f"mlp: time per image, {axis} {name} over {base}", ratios, "x", **target))
    return rows


def run_of(source: Repeated, batch_size: int, width: int) -> LightningRun:
    """Build a run of the MLP pair; its pictures and curves at the ends of short epochs are left out."""
    hidden = [f"model.{side}.hidden={[width * size for size in sizes]}" for side, sizes in HIDDEN.items()]
    steps = min(8, IMAGES // batch_size)
    sizes = [f"data.batch_size={batch_size}", f"data.steps_per_batch={steps}"]
    chunks = IMAGES // (batch_size * steps)
    return LightningRun("model=mlp", *hidden, *sizes, chunks_per_block=chunks, source=source, watched=False)


if __name__ == "__main__":
    main()
