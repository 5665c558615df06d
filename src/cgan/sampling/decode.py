"""Untrusted images, decoded with limits on bytes and pixels."""

import numpy as np

from cgan.data.pixels import Form, UnreadablePictureError, read_picture
from cgan.errors import CganError

MAX_BYTES = 1_000_000
MAX_PIXELS = 4_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "MPO")
"""What untrusted senders may send; a telephone's JPEG with a second picture in it is an MPO."""


def decode_image(content: bytes, img_shape: tuple[int, int, int], formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """Decode an image as training reads it; its format is found from its content.

    Transparent parts become middle grey, so that both black and white ink stand out.

    Args:
        content: A file of at most 1 MB and 4 million pixels.
        img_shape: (C, H, W) of the generator's images. Those in colour are scaled and cut to the middle; a written
            digit in grey keeps its size, for it is boxed first.
        formats: What is read, as Pillow calls it.

    Returns:
        uint8, (H, W) in grey and (C, H, W) in colour.

    Raises:
        CganError: It is too large, damaged or of another format.
    """
    if len(content) > MAX_BYTES:
        raise CganError(f"the picture has {len(content)} bytes: expected at most {MAX_BYTES}; make it smaller")
    channels, *size = img_shape
    form = Form(channels, None if channels == 1 else (size[0], size[1]), background="#808080")
    try:
        pixels = read_picture(content, form, "", formats=formats, max_pixels=MAX_PIXELS).pixels
        return pixels[0] if channels == 1 else pixels
    except UnreadablePictureError as error:
        known = ", ".join(name for name in formats if name != "MPO")
        raise CganError(f"expected a picture as {known}, found {error.found}") from error
