"""How fast are pictures read? `python benchmarks/data.py PICTURES.zip`, beside torchvision's ImageFolder + DataLoader.

The zip holds `train/CLASS/*.jpg`, such as CIFAR-10 as JPEGs. Each row is a process of its own: CPU seconds of it and
its workers (wall-clock seconds say more about what else the machine does), its own peak of memory above that after the
imports, and training images per CPU second in one epoch, from file or memory to normalised batches of 64.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from common import Row, keep, row

BATCH = 64
KINDS = {
    "ours, first start": ("ours",),
    "ours, later starts": ("ours",),
    "ImageFolder, no workers": ("image_folder", "0"),
    "ImageFolder, 2 workers": ("image_folder", "2"),
}
UNITS = {"start": "CPU s", "images per CPU s": "images/s", "peak memory": "MB"}


def main() -> None:
    """Measure at 32x32 and 64x64 and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="a zip")
    parser.add_argument("--count", type=int, default=50_000, help="pictures (default: 50000)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    chosen = parser.parse_args()
    rows: list[Row] = []
    for size in chosen.sizes:
        with tempfile.TemporaryDirectory() as folder:
            unpack(chosen.pictures, Path(folder) / "pictures" / "train", size, chosen.count)
            found = {name: measured(folder, str(size), *arguments) for name, arguments in KINDS.items()}
        for name, values in found.items():
            rows += [
                row(f"{size}x{size}, {name}: {what}", [value], UNITS[what])
                for what, value in zip(UNITS, values, strict=True)
            ]
        first, later, plain, _ = found.values()
        rows += [
            row(f"{size}x{size}: first start over a later one", [first[0] / later[0]], "x", at_least=10),
            row(f"{size}x{size}: images per CPU s, ours over ImageFolder", [later[1] / plain[1]], "x"),
        ]
        keep("pictures", rows)


def unpack(pictures: Path, folder: Path, size: int, count: int) -> None:
    """Write the first ``count`` pictures to train on as JPEGs of ``size`` pixels, in the folders of their classes."""
    with zipfile.ZipFile(pictures) as archive:
        names = [name for name in archive.namelist() if "/train/" in f"/{name}" and not name.endswith("/")]
        for name in names[:count]:
            place = folder / Path(name).parent.name / Path(name).name
            place.parent.mkdir(parents=True, exist_ok=True)
            content = archive.read(name)
            with Image.open(io.BytesIO(content)) as picture:
                if picture.size == (size, size):
                    place.write_bytes(content)
                else:
                    picture.convert("RGB").resize((size, size)).save(place, quality=90)


def measured(folder: str, size: str, kind: str, *arguments: str) -> list[float]:
    """Run one row in a process of its own."""
    command = [sys.executable, __file__, "--row", kind, folder, size, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(kind: str, folder: str, size: int, workers: int = 0) -> None:
    """Print start (CPU s), images per CPU second and peak memory above that after the imports (MB) as JSON."""
    make = ours if kind == "ours" else image_folder
    import torch
    import torchvision.datasets  # noqa: F401

    import cgan.data.batches
    import cgan.data.folder  # noqa: F401
    from cgan.spec import to_float

    torch.set_num_threads(1)
    before, memory = cpu_seconds(), peak()
    loader = make(folder, size, workers)
    next(iter(loader))
    start = cpu_seconds() - before
    before = cpu_seconds()
    count = 0
    for images, labels in loader:
        if kind == "ours":  # torchvision's are floats
            to_float(images)
        count += labels.numel()
    print(json.dumps([start, count / (cpu_seconds() - before), peak() - memory]))


def ours(folder: str, size: int, workers: int) -> Iterable:
    """Serve the pictures as `data=folder` does."""
    from cgan.data.batches import Batches
    from cgan.data.folder import FolderSource

    source = FolderSource(f"{folder}/pictures", size=size, channels=3, cache=f"{folder}/cache")
    source.prepare()
    return Batches(source.load("train"), batch_size=BATCH, steps_per_batch=1, seed=1)


def image_folder(folder: str, size: int, workers: int) -> Iterable:
    """Serve them as torchvision's tutorials do."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    pictures = datasets.ImageFolder(f"{folder}/pictures/train", transforms.Compose(steps))
    return DataLoader(pictures, batch_size=BATCH, shuffle=True, num_workers=workers, drop_last=True)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the workers that have ended."""
    return time.process_time() + sum(os.times()[2:4])


def peak() -> float:
    """Return the largest memory of this process so far, in MB, without its workers."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]), *map(int, sys.argv[5:]))
    else:
        main()
