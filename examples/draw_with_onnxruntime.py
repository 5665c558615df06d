"""Draw with onnxruntime and NumPy alone, without torch and cgan: the pictures of `cgan sample` for the same seeds.

Examples:
  cgan export format=onnx out=generator.onnx
  python draw_with_onnxruntime.py generator.onnx 7
  python draw_with_onnxruntime.py generator.onnx 3 8 -n 5 --seed 2 --truncation 0.7 --out digits.ppm
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what `cgan export format=onnx` wrote")
    parser.add_argument("classes", nargs="+", help="names of classes; each gets a row")
    parser.add_argument("-n", type=int, default=1, help="pictures of each class (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="from 0; another seed, other pictures (default: 0)")
    parser.add_argument("--truncation", type=float, default=1.0, help="less than 1: neater, less varied (default: 1)")
    parser.add_argument("--out", type=Path, default="pictures.ppm", help="PPM or, if grey, PGM (default: pictures.ppm)")
    options = parser.parse_args()
    if options.n < 1 or options.seed < 0:
        parser.error("expected n from 1 and a seed from 0")
    if not options.model.is_file():
        parser.error(f"{options.model}: no such file")
    session = onnxruntime.InferenceSession(options.model, providers=["CPUExecutionProvider"])
    if options.truncation != 1 and "w" in [output.name for output in session.get_outputs()]:
        parser.error("--truncation: this generator has styles, which are truncated, not latents; see docs/style.md")
    described = session.get_modelmeta().custom_metadata_map
    names = json.loads(described["class_names"])
    if unknown := [name for name in options.classes if name not in names]:
        parser.error(f"class {unknown[0]}: expected one of {', '.join(names)}")
    rows = []
    for label in map(names.index, options.classes):
        z = latents(label, options.n, int(described["z_dim"]), options.seed) * np.float32(options.truncation)
        rows.append(session.run(["images"], {"z": z, "labels": np.full(options.n, label)})[0])
    write(options.out, grid(np.stack(rows)))


def latents(label: int, count: int, z_dim: int, seed: int) -> np.ndarray:
    """The latents of the first pictures of a class at a seed, as cgan/sampling/noise.py draws them."""
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, label))))
    return stream.standard_normal((count, z_dim), dtype=np.float32)


def grid(images: np.ndarray) -> np.ndarray:
    """(rows, columns, C, H, W) in [-1, 1] -> (rows * H, columns * W, C) uint8."""
    rows, columns, channels, height, width = images.shape
    pixels = np.round(images * 127.5 + 127.5).clip(0, 255).astype(np.uint8)
    return pixels.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)


def write(path: Path, pixels: np.ndarray) -> None:
    """Write a portable pixmap, the simplest picture file: a header, then the pixels."""
    height, width, channels = pixels.shape
    path.write_bytes(b"P%d %d %d 255\n" % (5 if channels == 1 else 6, width, height) + pixels.tobytes())
    print(f"{path}: {width}x{height}")


if __name__ == "__main__":
    main()
