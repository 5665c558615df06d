"""Pictures of pictures: labelled grids."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

BACKGROUND, INK = (255, 255, 255), (60, 60, 60)


def to_picture(image: Tensor) -> Image.Image:
    """Turn one image, (1 or 3, H, W) uint8, into a PIL picture."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def grid(
    images: Tensor,
    columns: int,
    *,
    column_names: list[str] | None = None,
    row_names: list[str] | None = None,
    scale: int = 2,
) -> Image.Image:
    """Lay images out row by row, with names above the columns and left of the rows.

    Args:
        images: (N, 1 or 3, H, W) uint8.
        columns: Images per row.
        column_names: One per column.
        row_names: One per row.
        scale: Size of one image pixel in the grid.
    """
    count, _, height, width = images.shape
    rows = -(-count // columns)
    gap, font = 2, ImageFont.load_default(size=14)
    left = 8 + max((int(font.getlength(name)) for name in row_names), default=0) if row_names else gap
    top = 22 if column_names else gap
    cell_h, cell_w = height * scale + gap, width * scale + gap
    sheet = Image.new("RGB", (left + columns * cell_w, top + rows * cell_h), BACKGROUND)
    pixels = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3).expand(-1, 3, -1, -1)
    for place, image in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        row, column = divmod(place, columns)
        sheet.paste(Image.fromarray(np.ascontiguousarray(image)), (left + column * cell_w, top + row * cell_h))
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(column_names or []):
        pen.text((left + (column + 0.5) * cell_w, top / 2), name, fill=INK, font=font, anchor="mm")
    for row, name in enumerate(row_names or []):
        pen.text((left - 4, top + (row + 0.5) * cell_h), name, fill=INK, font=font, anchor="rm")
    return sheet
