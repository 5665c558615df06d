"""What share of a default run goes to quality metrics? `python benchmarks/quality_cost.py`."""

import tempfile
import time
from pathlib import Path

import torch
from hydra.utils import instantiate

from backbones import OBJECTIVE, cost
from cgan.config import compose
from cgan.files import read_lines
from cgan.metrics.features import extract
from cgan.metrics.metric import RealImages
from cgan.metrics.own import ClassifierExtractor
from cgan.metrics.picture_net import PictureNet
from cgan.metrics.suite import Suite
from cgan.sampling.draw import render
from cgan.spec import DataSpec
from cgan.tasks.train import run
from common import Row, keep, row
from pairs import fresh_pair

MODELS = ("mlp", "light")
COLOUR = (32, 64)
EPOCH, SAMPLES = 50_000, 10_000


def main(epochs: int = 2) -> None:
    """Train ``epochs`` whole epochs of MNIST with each model at defaults and read the run's own clock; then colour."""
    keep("quality_cost", [entry for model in MODELS for entry in measure(model, epochs)])
    colour()


def colour() -> None:
    """Measure the share of colour images of two sizes."""
    keep("quality_in_colour", [in_colour(size) for size in COLOUR])


def in_colour(size: int, n: int = 1000) -> Row:
    """Return quality's share of epochs of 50,000 colour images, from one evaluation of ``n`` noise images.

    By the processor's clock: drawing by `light`, features of an own classifier, `metrics=quick`; all of it counts in
    proportion to the 10,000 samples of the defaults, also what reads 2,000 images at most.
    """
    spec = DataSpec("noise", (3, size, size), tuple("0123456789"))
    torch.manual_seed(0)
    extractor = ClassifierExtractor(PictureNet(spec.img_shape, 10), spec, accuracy=0.01)
    images, labels = torch.randint(0, 256, (n, *spec.img_shape), dtype=torch.uint8), torch.arange(n) % 10
    real = extract(extractor, images, labels)
    suite = Suite(extractor, instantiate(compose("train", []).metrics, _convert_="all"), RealImages(real, real, n))
    generator = fresh_pair("light", *OBJECTIVE, spec=spec).ema.generator
    shares = []
    for _ in range(3):
        start = time.process_time()
        drawn = render(generator, torch.randn(n, generator.z_dim), labels)
        suite.measure(extract(extractor, drawn, labels))
        quality = (time.process_time() - start) * SAMPLES / n
        training = EPOCH / cost("light", spec.img_shape, 1).value
        shares.append(quality / (quality + training))
    return row(f"light, 3x{size}x{size}: quality's share of an epoch of 50,000 images", shares, "", at_most=0.1)


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
