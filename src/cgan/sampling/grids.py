"""Image grids with names, as PIL images."""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WHITE, INK = 255, "#3c3c3c"
_GAP, _NAME_HEIGHT, _FONT_SIZE = 2, 20, 13
LONGEST = 300
"""Pixels of a row's name."""
SYSTEM_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "wqy-zenhei.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "NotoEmoji-Regular.ttf",
    "seguiemj.ttf",
)
"""Where Linux, macOS and Windows have letters that the bundled font lacks, such as Chinese ones and emoji."""


def to_pil(image: Tensor) -> Image.Image:
    """Convert one image, (1, 3 or 4, H, W) uint8, to PIL."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def image_grid(
    images: Tensor,
    columns: int | None = None,
    *,
    names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    row_names: Sequence[str] | None = None,
    scale: int | None = None,
) -> Image.Image:
    """Lay images out row by row, on white; the figure is grey where the images are.

    Args:
        images: (N, 1, 3 or 4, H, W) uint8, N at least 1; transparent parts are laid on white.
        columns: Images per row; None makes about as many rows as columns.
        names: One per image, written above it.
        column_names: One per column, written above the first row.
        row_names: One per row, written to the left of it.
        scale: Size of one image pixel in the grid, in pixels; None: 2, or more where images are narrower than 28.
    """
    count, _, height, width = images.shape
    scale = scale or max(2, -(-56 // width))
    columns = columns or math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    row_names = [_cut(name, LONGEST) for name in row_names or []]
    left = 8 + max(int(font_of(name).getlength(name)) for name in row_names) if row_names else _GAP
    top = _GAP + (_NAME_HEIGHT if column_names else 0)
    above = _NAME_HEIGHT if names else 0
    cell_h, cell_w = height * scale + _GAP + above, width * scale + _GAP
    table = _table(laid_on_white(images), (rows, columns), scale, above)
    figure = Image.new(table.mode, (left + table.width, top + table.height), "white")
    figure.paste(table, (left, top))
    pen = ImageDraw.Draw(figure)

    def write(text: str, column: float, y: float) -> None:
        place = (left + (column + 0.5) * cell_w, y)
        pen.text(place, _cut(text, cell_w - 4), fill=INK, font=font_of(text), anchor="mm")

    for place, name in enumerate(names or []):
        row, column = divmod(place, columns)
        write(name, column, top + row * cell_h + above / 2)
    for column, name in enumerate(column_names or []):
        write(name, column, top / 2)
    for row, name in enumerate(row_names):
        middle = top + row * cell_h + (cell_h + above) / 2
        pen.text((left - 4, middle), name, fill=INK, font=font_of(name), anchor="rm")
    return figure


def _table(images: Tensor, shape: tuple[int, int], scale: int, above: int) -> Image.Image:
    """Enlarge (N, C, H, W) images and put them into cells with a gap after each and room for a name above."""
    pixels = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    count, channels, height, width = pixels.shape
    cells = pixels.new_full((math.prod(shape), channels, above + height + _GAP, width + _GAP), WHITE)
    cells[:count, :, above : above + height, :width] = pixels
    return to_pil(cells.unflatten(0, shape).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))


def drawable(class_names: Sequence[str]) -> list[str]:
    """Return what figures call the classes: their names, or, where no font has the letters, numbers such as ``#3``.

    A class may be requested by this number as well: see :meth:`cgan.spec.DataSpec.label_of`.
    """
    return [name if _has_letters(font_of(name), name) else f"#{label}" for label, name in enumerate(class_names)]


@cache
def font_of(text: str) -> ImageFont.FreeTypeFont:
    """Return the first font that has all letters of a text, at 13 pixels; of none, the bundled one."""
    return next((font for font in _fonts() if _has_letters(font, text)), _bundled_font())


def _fonts() -> Iterator[ImageFont.FreeTypeFont]:
    yield _bundled_font()
    for name in SYSTEM_FONTS:
        with suppress(OSError):  # not installed
            yield ImageFont.truetype(name, _FONT_SIZE)


def _has_letters(font: ImageFont.FreeTypeFont, text: str) -> bool:
    missing = _shape(font, "\uffff")  # which is no letter of any font
    return all(_shape(font, letter) != missing for letter in set(text))


@cache
def _shape(font: ImageFont.FreeTypeFont, letter: str) -> bytes:
    return bytes(font.getmask(letter))


@cache
def _bundled_font() -> ImageFont.FreeTypeFont:
    """Return the font that Matplotlib carries: it has the letters of many scripts, Pillow's own lacks even umlauts."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, _FONT_SIZE)


def _cut(name: str, width: int) -> str:
    """Shorten a name until it is no wider than ``width`` pixels."""
    letters, font = len(name), font_of(name)
    while letters > 1 and font.getlength(name) > width:
        letters -= 1
        name = f"{name[:letters]}…"
    return name


def laid_on_white(images: Tensor) -> Tensor:
    """Lay colour images with alpha on white, (N, 4, H, W) uint8 -> (N, 3, H, W); others stay as they are."""
    if images.shape[1] < 4:
        return images
    alpha = images[:, 3:].float() / 255
    return (images[:, :3] * alpha + 255 * (1 - alpha)).round().to(images.dtype)
