"""Curves and pictures of healthy, collapsed and diverged runs: ``python tools/curve_figures.py [docs/images/curves]``.

Trains them on the bundled digits, in about four minutes of one CPU core, and draws each with the project's own plots.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from cgan import train

SHORT = ("data.source.test_per_class=400", "penalty=none", "trainer.max_epochs=8")
RUNS = {
    "healthy": ("trainer.max_epochs=20",),
    "collapsed": (*SHORT, "model=mlp", "loss=bce", "optimizer.lr=1e-2"),
    "diverged": (*SHORT, "loss=wgan", "optimizer.lr=2e-2"),
}
"""Overrides of ``experiment=quickstart augment=none``; the last two: 1,000 digits, large learning rates, no penalty."""
MEASURED = ("quality.every_n_epochs=1", "quality.max_share=1", "quality.n=500", "metrics=[fid,label_agreement]")
COMPARED = {"healthy": (1, 5, 20), "collapsed": (1, 4, 8), "diverged": (1, 4, 8)}
"""Epochs whose pictures are shown side by side."""


def run(out: Path, runs: Path) -> None:
    """Train every run in a folder of ``runs``, unless it is there, and write its figures."""
    out.mkdir(parents=True, exist_ok=True)
    for name, overrides in RUNS.items():
        if not (runs / name / "curves.png").exists():
            train("quickstart", "augment=none", *MEASURED, *overrides, folder=runs / name)
        Image.open(runs / name / "curves.png").convert("RGB").quantize(256).save(out / f"{name}.png", optimize=True)
        side_by_side(runs / name, COMPARED[name]).save(out / f"{name}_pictures.png", optimize=True)


def side_by_side(folder: Path, epochs: tuple[int, ...], side: int = 360) -> Image.Image:
    """Join the image grids of some epochs of a run, in 32 greys: a small file."""
    joined = Image.new("L", (len(epochs) * (side + 12) - 12, side), 255)
    for place, epoch in enumerate(epochs):
        picture = Image.open(folder / "samples" / f"epoch_{epoch:04}.png").convert("L").resize((side, side))
        joined.paste(picture, (place * (side + 12), 0))
    return joined.quantize(32)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/curves"), Path(folder))
