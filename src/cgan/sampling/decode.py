"""Untrusted images, decoded with limits on bytes and pixels."""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cgan.errors import CganError

MAX_BYTES = 1_000_000
MAX_PIXELS = 4_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


def decode_image(content: bytes) -> np.ndarray:
    """Decode an image to grey levels; its format is found from its content, not from a file's name.

    Transparent parts become middle grey, so that both black and white ink stand out.

    Args:
        content: A PNG, JPEG or WebP file of at most 1 MB and 4 million pixels.

    Returns:
        (H, W) uint8.

    Raises:
        CganError: It is too large, damaged or of another format.
    """
    if len(content) > MAX_BYTES:
        raise CganError(f"the picture has {len(content)} bytes: expected at most {MAX_BYTES}; make it smaller")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:  # known from the header, before anything is decompressed
                raise CganError(
                    f"the picture has {image.width}x{image.height} pixels: expected at most {MAX_PIXELS} in all"
                )
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CganError(f"the picture has too many pixels: expected at most {MAX_PIXELS}") from error
    except UnidentifiedImageError as error:
        raise CganError(f"expected a picture as {', '.join(FORMATS)}, found something else") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise CganError("the picture is damaged: save it again as PNG") from error
    backdrop = Image.new("RGBA", upright.size, (128, 128, 128, 255))
    return np.array(Image.alpha_composite(backdrop, upright).convert("L"))
