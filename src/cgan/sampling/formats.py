"""Images as files: the encoders that command line, API and page share."""

import io
import struct
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from cgan.errors import CganError
from cgan.sampling.grids import laid_on_white, to_pil

FRAMES_PER_SECOND = 12
NO_SEED = -1
"""Of images that follow from more than their class and one seed."""
MAX_GIF = 65535
"""Pixels that the format can count in either direction."""
_SCALE = 6
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date of a ZIP: equal images give equal bytes


class LabelledImages(NamedTuple):
    """Images, (N, C, H, W) uint8, with their classes and seeds, (N,) int64."""

    images: Tensor
    labels: Tensor
    seeds: Tensor


def png(image: Image.Image | Tensor) -> bytes:
    """Encode a PIL image or a tensor, (1 or 3, H, W) uint8.

    Run lengths are what zlib's manual advises for PNG: two to four times as fast as its default, and enlarged pixels
    take fewer bytes; photographs take an eighth more.
    """
    content = io.BytesIO()
    pixels = to_pil(image) if isinstance(image, Tensor) else image
    pixels.save(content, format="PNG", compress_type=zlib.Z_RLE)
    return content.getvalue()


def npz(samples: LabelledImages) -> bytes:
    """Encode ``images`` (N, H, W) or (N, H, W, C) uint8, ``labels`` (N,) and ``seeds`` (N,) int64 for NumPy."""
    pixels = samples.images.permute(0, 2, 3, 1).numpy()
    content = io.BytesIO()
    np.savez_compressed(
        content,
        images=pixels.squeeze(3) if pixels.shape[3] == 1 else pixels,
        labels=samples.labels.numpy(),
        seeds=samples.seeds.numpy(),
    )
    return content.getvalue()


def safe_name(text: str) -> str:
    """Make a part of a file's name of any text: characters that some file system refuses become hyphens.

    At most 200 bytes are left, since file systems take 255 for a whole name.
    """
    name = "".join(letter if letter.isalnum() or letter in "-. " else "-" for letter in text).lstrip(".")
    return name.encode()[:200].decode(errors="ignore")


def file_names(samples: LabelledImages, class_names: Sequence[str]) -> list[str]:
    """Name each image ``CLASS_SEED_NUMBER.png``; the number counts the images that share class and seed.

    Images without a seed are called ``CLASS_NUMBER.png``. The number keeps names unique where two classes agree in
    :func:`safe_name`, also where the file system takes capital letters for small ones.
    """
    counts: dict[str, int] = {}
    names = []
    for label, seed in zip(samples.labels.tolist(), samples.seeds.tolist(), strict=True):
        stem = safe_name(class_names[label]) + (f"_{seed}" if seed != NO_SEED else "")
        same = stem.casefold()
        number = counts[same] = counts.get(same, -1) + 1
        names.append(f"{stem}_{number:05d}.png")
    return names


def zip_archive(samples: LabelledImages, class_names: Sequence[str]) -> bytes:
    """Encode a ZIP with one PNG per image and ``labels.csv`` (file, label, class, seed)."""
    content = io.BytesIO()
    rows = ["file,label,class,seed"]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:  # PNG is compressed already
        for name, image, label, seed in zip(
            file_names(samples, class_names),
            samples.images,
            samples.labels.tolist(),
            samples.seeds.tolist(),
            strict=True,
        ):
            file.writestr(zipfile.ZipInfo(name, _ZIP_DATE), png(image))
            quoted = class_names[label].replace('"', '""')
            rows.append(f'{name},{label},"{quoted}",{seed}')
        file.writestr(zipfile.ZipInfo("labels.csv", _ZIP_DATE), "\n".join(rows) + "\n")
    return content.getvalue()


def gif(frames: Tensor) -> bytes:
    """Encode a looping animation, forwards and backwards: (N, 1 or 3, H, W) uint8, enlarged 6 times.

    Raises:
        CganError: It is too wide for the format.
    """
    if max(frames.shape[2:]) * _SCALE > MAX_GIF:
        raise CganError(
            f"a GIF of {frames.shape[3] * _SCALE:,} pixels: expected at most {MAX_GIF:,} in a row; draw fewer classes"
        )
    first, *others = [to_pil(frame) for frame in _enlarged(frames)]
    content = io.BytesIO()
    back_and_forth = [*others, *others[-2::-1]]
    duration = round(1000 / FRAMES_PER_SECOND)
    first.save(content, format="GIF", save_all=True, append_images=back_and_forth, duration=duration, loop=0)
    return content.getvalue()


def mp4(frames: Tensor) -> bytes:
    """Encode a film in H.264, from the first frame to the last: (N, C, H, W) uint8, enlarged 6 times.

    Raises:
        CganError: The encoder is not installed or fails.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise CganError(
            "format=mp4 needs an encoder: pip install 'cgan[video]', or write a gif: format=gif, out=NAME.gif"
        ) from error
    pixels = _enlarged(laid_on_white(frames)).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).contiguous()
    source = f"-f rawvideo -pix_fmt rgb24 -s {pixels.shape[2]}x{pixels.shape[1]} -r {FRAMES_PER_SECOND} -i -"
    target = "-c:v libx264 -pix_fmt yuv420p -movflags +faststart"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source.split(), *target.split(), str(path)]
        done = subprocess.run(command, input=pixels.numpy().tobytes(), capture_output=True, check=False)
        if done.returncode:
            raise CganError(
                f"format=mp4: the encoder failed ({done.stderr.decode(errors='replace'):.200}); write a gif"
            )
        return path.read_bytes()


def idx(images: Tensor, labels: Tensor) -> tuple[bytes, bytes]:
    """Encode images and labels as MNIST's own idx files (yann.lecun.com/exdb/mnist), big-endian, not compressed.

    Args:
        images: (N, 1, H, W) uint8.
        labels: (N,) from 0 to 255.

    Returns:
        The content of ``*-images-idx3-ubyte`` and of ``*-labels-idx1-ubyte``.

    Raises:
        CganError: The images have colours, or a label does not fit a byte.
    """
    count, channels, height, width = images.shape
    if channels != 1 or int(labels.max()) > 255:
        raise CganError("format=idx holds grey images of at most 256 classes; use format=png, npz or zip")
    pixels = struct.pack(">IIII", 0x0803, count, height, width) + images.contiguous().numpy().tobytes()
    return pixels, struct.pack(">II", 0x0801, count) + labels.numpy().astype(np.uint8).tobytes()


def _enlarged(frames: Tensor) -> Tensor:
    return frames.repeat_interleave(_SCALE, 2).repeat_interleave(_SCALE, 3)
