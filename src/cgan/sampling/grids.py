"""Image grids with names, as PIL images."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WHITE, INK = 255, "#3c3c3c"
_GAP, _NAME_HEIGHT = 2, 20
LONGEST = 300
"""Pixels of a row's name."""


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
    scale: int = 2,
) -> Image.Image:
    """Lay images out row by row, on white; the figure is grey where the images are.

    Args:
        images: (N, 1, 3 or 4, H, W) uint8, N at least 1; transparent parts are laid on white.
        columns: Images per row; None makes about as many rows as columns.
        names: One per image, written above it.
        column_names: One per column, written above the first row.
        row_names: One per row, written to the left of it.
        scale: Size of one image pixel in the grid, in pixels.
    """
    count, _, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows, font = -(-count // columns), _font()
    row_names = [_cut(name, LONGEST) for name in row_names or []]
    left = 8 + max(int(font.getlength(name)) for name in row_names) if row_names else _GAP
    top = _GAP + (_NAME_HEIGHT if column_names else 0)
    above = _NAME_HEIGHT if names else 0
    cell_h, cell_w = height * scale + _GAP + above, width * scale + _GAP
    pixels = _laid_on_white(images).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    cells = pixels.new_full((rows * columns, pixels.shape[1], cell_h, cell_w), WHITE)
    cells[:count, :, above : cell_h - _GAP, : cell_w - _GAP] = pixels
    table = to_pil(cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2))
    figure = Image.new(table.mode, (left + table.width, top + table.height), "white")
    figure.paste(table, (left, top))
    pen = ImageDraw.Draw(figure)

    def write(text: str, column: float, y: float) -> None:
        pen.text((left + (column + 0.5) * cell_w, y), _cut(text, cell_w - 4), fill=INK, font=font, anchor="mm")

    for place, name in enumerate(names or []):
        row, column = divmod(place, columns)
        write(name, column, top + row * cell_h + above / 2)
    for column, name in enumerate(column_names or []):
        write(name, column, top / 2)
    for row, name in enumerate(row_names):
        pen.text((left - 4, top + row * cell_h + (cell_h + above) / 2), name, fill=INK, font=font, anchor="rm")
    return figure


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return the font that Matplotlib carries: it has the letters of many scripts, Pillow's own lacks even umlauts."""
    found = find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", 13)


def _cut(name: str, width: int) -> str:
    """Shorten a name until it is no wider than ``width`` pixels."""
    letters = len(name)
    while letters > 1 and _font().getlength(name) > width:
        letters -= 1
        name = f"{name[:letters]}…"
    return name


def _laid_on_white(images: Tensor) -> Tensor:
    if images.shape[1] < 4:
        return images
    alpha = images[:, 3:].float() / 255
    return (images[:, :3] * alpha + 255 * (1 - alpha)).round().to(images.dtype)
