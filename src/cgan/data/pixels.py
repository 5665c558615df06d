"""The one reader of pictures: from the bytes of a file to upright uint8 pixels of the channels and size asked for."""

import io
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError

from cgan.errors import CganError, check_choice

FITS = ("crop", "pad", "stretch", "random_crop")
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Pillow's mode by the number of channels."""
MAX_PIXELS = 2**26
"""A small file can claim any number of pixels, and all of them are unpacked before they are scaled."""
Image.init()
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # the limit above is lower
_KNOWN = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
FORMATS = tuple(name for name in _KNOWN if name in Image.OPEN)
"""What is read, by content and not by name; formats that run programs (EPS) are not among them."""
ENDINGS = frozenset(ending for ending, name in Image.registered_extensions().items() if name in FORMATS)
"""What the names of pictures end in."""


class UnreadablePictureError(CganError):
    """A file that is no picture, is cut off or damaged, or claims too many pixels."""

    def __init__(self, name: str, found: str) -> None:
        super().__init__(f"{name}: expected a picture, found {found:.200}")
        self.found = found


@dataclass(frozen=True)
class Form:
    """What pictures are brought to.

    Attributes:
        channels: 1 grey, 3 colour, 4 colour and alpha.
        size: (H, W) in pixels; None keeps the size of the file.
        fit: How the size is reached: ``crop`` scales until the size is filled and cuts off the rest evenly,
            ``random_crop`` cuts at a place that follows from the file's name and so is the same in every epoch,
            ``pad`` scales until all is seen and fills with the background, ``stretch`` changes proportions.
        background: What transparent pictures are laid on: ``white``, ``black``, another colour's name, ``#rrggbb``,
            or ``mean``, the mean colour of the picture's opaque part.

    Raises:
        CganError: There is no such fit, background or number of channels.
    """

    channels: int
    size: tuple[int, int] | None = None
    fit: str = "crop"
    background: str = "white"

    def __post_init__(self) -> None:
        if type(self.channels) is not int or self.channels not in MODES:
            raise CganError(f"data.channels={self.channels}: expected 1 (grey), 3 (colour) or 4 (colour and alpha)")
        check_choice("data.fit", self.fit, FITS)
        if self.background != "mean":
            try:
                ImageColor.getrgb(self.background)
            except (ValueError, AttributeError, TypeError):
                raise CganError(
                    f"data.background={self.background}: expected white, black, mean or a colour as #rrggbb"
                ) from None


class Picture(NamedTuple):
    """A picture that was read.

    Attributes:
        pixels: (C, H, W) uint8.
        size: (W, H) as in the file, upright.
        mode: What the file holds: ``grey``, ``colour``, ``palette``, ``1 bit``, ``16 bit``, ``CMYK``, ...
        notes: What else matters to its pixels: ``turned by EXIF``, ``transparent``, ``animated``.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    mode: str
    notes: tuple[str, ...]


_MODE_NAMES = {
    **{"1": "1 bit", "L": "grey", "LA": "grey", "P": "palette", "PA": "palette", "RGB": "colour", "RGBA": "colour"},
    **{"I": "16 bit", "F": "floating point"},
}
_ORIENTATION = ExifTags.Base.Orientation


def read_picture(
    content: bytes, form: Form, name: str, *, formats: tuple[str, ...] = FORMATS, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Decode a picture of any mode, turn it as its EXIF says and bring it to ``form``; an animation by its first frame.

    Grey of 16 bits is divided by 257, so that white stays white. Sizes change by bicubic filters that average over
    all pixels of the file.

    Args:
        content: The bytes of the file.
        form: What is asked for.
        name: What errors call the file; it also names the place of a random crop.
        formats: The formats that are read, as Pillow calls them.
        max_pixels: The largest width times height.

    Raises:
        UnreadablePictureError: The file is no picture, is damaged or too large.
    """
    try:
        with open_picture(content, formats, max_pixels) as image:
            mode, size = image.mode, image.size
            if form.size is not None:  # a large JPEG is decoded at an eighth, a quarter or half of its size
                image.draft(None, (4 * max(form.size), 4 * max(form.size)))
            image.load()
            orientation, notes = _orientation(image), _notes(image)
            upright = ImageOps.exif_transpose(image) if orientation > 1 else image
            pixels = _brought_to(form, _eight_bits(upright), name)
    except Exception as error:  # an untrusted file can fail in any way
        raise UnreadablePictureError(name, _reason(content, error)) from error
    if orientation > 1:
        notes.append("turned by EXIF")
    mode_name = "16 bit" if mode.startswith("I;16") else _MODE_NAMES.get(mode, mode)
    return Picture(pixels, size[::-1] if orientation > 4 else size, mode_name, tuple(notes))


def picture_header(content: bytes) -> tuple[tuple[int, int], bool]:
    """Return a picture's upright (W, H) and whether it is grey, from its header.

    Raises:
        OSError, SyntaxError, ValueError: As :func:`open_picture`.
    """
    with open_picture(content) as image:
        palette = np.array(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        grey_palette = image.mode == "P" and bool((palette == palette[:, :1]).all())
        grey = grey_palette or image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
        return image.size[::-1] if _orientation(image) > 4 else image.size, grey


def open_picture(content: bytes, formats: tuple[str, ...] = FORMATS, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the header of a picture; nothing is unpacked yet.

    Raises:
        OSError, SyntaxError, ValueError: It is no picture of these formats, or claims more than ``max_pixels``.
    """
    image = Image.open(io.BytesIO(content), formats=formats)
    if image.width * image.height > max_pixels:
        raise ValueError(f"{image.width}x{image.height} pixels, more than {max_pixels} in all")
    return image


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "an empty file (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "something else, or only the start of one"
    if isinstance(error, Image.DecompressionBombError):  # its message is about another limit
        return "one with far too many pixels"
    return f"one that is damaged or not supported ({' '.join(str(error).split()) or type(error).__name__:.160})"


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block beside sound pixels
        return 1
    return value if value in range(1, 9) else 1


def _notes(image: Image.Image) -> list[str]:
    found = {"transparent": image.has_transparency_data, "animated": getattr(image, "is_animated", False)}
    return [note for note, applies in found.items() if applies]


def _eight_bits(image: Image.Image) -> Image.Image:
    """Turn grey of more than 8 bits into grey of 8: 65535 and 1.0 become 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image)
    largest = 1 if image.mode == "F" else 65535
    if not (values.min() >= 0 and values.max() <= largest):
        raise ValueError(f"grey values from {values.min():.6g} to {values.max():.6g}; expected 0 to {largest}")
    levels = np.empty(values.size, np.uint8)
    for piece in _pieces(values.size):
        levels[piece] = (values.reshape(-1)[piece] * (255 / largest)).round()
    return Image.fromarray(levels.reshape(values.shape))


def _pieces(pixels: int) -> Iterator[slice]:
    """Cut so many pixels into pieces of which float64 takes some megabytes; of a whole picture it could take 2 GB."""
    return (slice(start, start + 2**20) for start in range(0, pixels, 2**20))


def _brought_to(form: Form, image: Image.Image, name: str) -> np.ndarray:
    image = image.convert("RGBA") if image.has_transparency_data else image
    colour = _colour(image, form.background)
    image = _fitted(_laid_on(image, colour, form.channels), form, colour, name)
    pixels = np.asarray(image)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None])


def _colour(image: Image.Image, background: str) -> tuple[int, int, int]:
    """Return the background's red, green and blue."""
    if background != "mean":
        return ImageColor.getrgb(background)[:3]
    pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    opaque = pixels[:, 3].any()
    sums = np.zeros(4)  # of whole numbers below 2**53: exact
    for piece in _pieces(len(pixels)):
        weights = pixels[piece, 3:].astype(np.float64) if opaque else np.ones((len(pixels[piece]), 1))
        sums += np.concatenate([pixels[piece, :3] * weights, weights], 1).sum(0)
    red, green, blue = sums[:3] / sums[3]
    return round(red), round(green), round(blue)


def _laid_on(image: Image.Image, colour: tuple[int, int, int], channels: int) -> Image.Image:
    """Convert to ``channels``: transparent parts show the colour; with an alpha channel they have it where not seen."""
    if image.mode != "RGBA":
        return image.convert(MODES[channels])
    laid = Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image)
    if channels < 4:
        return laid.convert(MODES[channels])
    alpha = image.getchannel("A")
    laid.putalpha(0)
    laid.paste(image, mask=alpha.point(lambda level: 255 * (level > 0)))
    return laid


def _fitted(image: Image.Image, form: Form, colour: tuple[int, int, int], name: str) -> Image.Image:
    size = form.size[::-1] if form.size else image.size
    if image.size == size:
        return image
    if form.fit == "stretch":
        return image.resize(size)
    if form.fit == "pad":
        return _padded(image, size, colour)
    place = zlib.crc32(name.encode(errors="surrogateescape"))
    random = (place % 2**16 / 2**16, place // 2**16 / 2**16)
    return ImageOps.fit(image, size, centering=random if form.fit == "random_crop" else (0.5, 0.5))


def _padded(image: Image.Image, size: tuple[int, int], colour: tuple[int, int, int]) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    padded = Image.new("RGB", size, colour).convert(image.mode)
    if image.mode == "RGBA":
        padded.putalpha(0)
    padded.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return padded
