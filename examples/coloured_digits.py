"""Write MNIST in colour as a folder of pictures, such as `data=folder` reads: each digit and its ground in colours.

Examples:
  python examples/coloured_digits.py data/coloured_digits
  python examples/coloured_digits.py data/coloured_digits --size 32 --digits mnist5k
  python train.py data=folder data.root=data/coloured_digits
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from cgan.config import compose
from cgan.data.sources import SPLITS
from cgan.data.unlabelled import build_source


def main() -> None:
    """Write `FOLDER/train|test/CLASS/NUMBER.png`; the same colours every time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the new folder")
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default: 64)")
    parser.add_argument("--digits", default="mnist", help="of which data set (default: mnist, found in data/)")
    options = parser.parse_args()
    source = build_source(compose("train", [f"data={options.digits}"]).data)
    source.prepare()
    random = np.random.default_rng(0)
    for split in SPLITS:
        images, labels = source.load(split)
        for number, (grey, label) in enumerate(zip(images.numpy(), labels.tolist(), strict=True)):
            place = options.folder / split / source.spec.class_names[label] / f"{number:05d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            coloured(grey[0], random, options.size).save(place)
    print(f"Written: {options.folder}")


def coloured(digit: np.ndarray, random: np.random.Generator, size: int) -> Image.Image:
    """Give (28, 28) uint8 two random colours of which one is dark and one is light, at ``size`` x ``size`` pixels."""
    dark, light = random.integers(0, 110, 3), random.integers(146, 256, 3)
    ground, ink = (dark, light) if random.random() < 0.5 else (light, dark)
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    share = np.asarray(large, np.float32)[:, :, None] / 255
    return Image.fromarray(np.round(ground + (ink - ground) * share).astype(np.uint8))


if __name__ == "__main__":
    main()
