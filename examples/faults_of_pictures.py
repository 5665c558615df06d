"""Write held-out pictures of a data set with faults: blurred, dotted, greyed, recoloured. Which metric sees which?

Examples:
  python examples/faults_of_pictures.py faults data=cifar10
  python evaluate.py data=cifar10 'images=[faults/as_they_are.npz,faults/blurred.npz,faults/greyed.npz]' metrics=quick
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cgan.config import compose
from cgan.data.build import build_source
from cgan.errors import CganError
from cgan.files import write_file
from cgan.sampling.formats import LabelledImages, npz

N = 2000


def dotted(images: Tensor) -> Tensor:
    """Add a screen of dots, one on each square of two by two pixels, of 16 of the 256 shades."""
    down, across = (torch.arange(side) % 2 for side in images.shape[2:])
    return (images.float() + 16 * (down[:, None] * across)).clamp(0, 255)


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "as_they_are": lambda images: images,
    "blurred": lambda images: avg_pool2d(images.float(), 3, 1, 1),
    "dotted": dotted,
    "greyed": lambda images: images.float().mean(1, keepdim=True).expand_as(images),
    "recoloured": lambda images: images.roll(1, 1),  # red as green, green as blue, blue as red
}


def main() -> None:
    """Write `FOLDER/FAULT.npz`, each with the same pictures of the test split."""
    if len(sys.argv) < 3:
        sys.exit(f"error: expected a new folder and data=...\n{__doc__}")
    try:
        write(Path(sys.argv[1]), sys.argv[2:])
    except (CganError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"Written: {sys.argv[1]}")


def write(folder: Path, overrides: list[str]) -> None:
    """Write up to 2,000 pictures with each fault.

    Raises:
        CganError: The data set cannot be read, or a file not be written.
    """
    source = build_source(compose("train", overrides).data)
    source.prepare()
    images, labels = source.load("test")
    chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:N]
    for name, fault in FAULTS.items():
        changed = fault(images[chosen]).to(torch.uint8)
        write_file(folder / f"{name}.npz", npz(LabelledImages(changed, labels[chosen], chosen)))


if __name__ == "__main__":
    main()
