"""Write MNIST in colour as a folder of pictures, such as `data=folder` reads: each digit and its ground in colours.

Examples:
  python examples/coloured_digits.py data/coloured_digits
  python examples/coloured_digits.py data/coloured_digits --size 32 --digits mnist5k
  python train.py data=folder data.root=data/coloured_digits
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from cgan.config import CONF, compose
from cgan.data.build import build_source
from cgan.data.sources import SPLITS
from cgan.errors import CganError, check_choice, check_whole


def main() -> None:
    """Write `FOLDER/train|test/CLASS/NUMBER.png`; the same colours every time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the new folder")
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default: 64)")
    parser.add_argument("--digits", default="mnist", help="of which data set (default: mnist, found in data/)")
    options = parser.parse_args()
    try:
        write(options.folder, options.size, options.digits)
    except (CganError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"Written: {options.folder}")


def write(folder: Path, size: int, digits: str) -> None:
    """Write both splits of a data set of digits.

    Raises:
        CganError: There is no such data set, its files are missing, its pictures are not grey, or the folder holds
            something already.
        OSError: The folder cannot be written to.
    """
    check_whole("--size", size, 1)
    check_choice("--digits", digits, sorted(path.stem for path in (CONF / "data").glob("*.yaml")))
    if folder.exists() and any(folder.iterdir()):
        raise CganError(f"{folder}: expected a new or an empty folder; name another one")
    source = build_source(compose("train", [f"data={digits}"]).data)
    if source.spec.img_shape[0] != 1:
        raise CganError(f"--digits {digits}: expected grey pictures, it has {source.spec.img_shape[0]} channels")
    source.prepare()
    random = np.random.default_rng(0)
    for split in SPLITS:
        images, labels = source.load(split)
        for number, (grey, label) in enumerate(zip(images.numpy(), labels.tolist(), strict=True)):
            place = folder / split / source.spec.class_names[label] / f"{number:05d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            coloured(grey[0], random, size).save(place)


def coloured(digit: np.ndarray, random: np.random.Generator, size: int) -> Image.Image:
    """Give (28, 28) uint8 two random colours of which one is dark and one is light, at ``size`` x ``size`` pixels."""
    dark, light = random.integers(0, 110, 3), random.integers(146, 256, 3)
    ground, ink = (dark, light) if random.random() < 0.5 else (light, dark)
    large = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    share = np.asarray(large, np.float32)[:, :, None] / 255
    return Image.fromarray(np.round(ground + (ink - ground) * share).astype(np.uint8))


if __name__ == "__main__":
    main()
