"""Pictures in rows with captions, and files that hold them; a click on a picture downloads it."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cgan.sampling.formats import LabelledImages, npz, png, zip_archive
from cgan.sampling.grids import image_grid


class Shown(NamedTuple):
    """One picture of a gallery, (C, H, W) uint8; its name, such as "3, seed 7", is that of the file as well."""

    image: Tensor
    name: str
    caption: str = ""


class File(NamedTuple):
    """A download below a gallery; the label is the link's text."""

    label: str
    name: str
    content: bytes


CSS = """
ul { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, var(--size))); gap: 10px 6px;
  list-style: none; margin: 0; padding: 3px; }
a { display: block; border-radius: 6px; overflow: hidden; }
a:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
a:hover { box-shadow: 0 0 0 3px var(--st-primary-color); }
img { display: block; width: 100%; }
span { display: block; text-align: center; font-size: 12px; line-height: 1.6; color: var(--st-text-color);
  opacity: 0.75; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
nav { display: flex; flex-wrap: wrap; gap: 8px; padding: 12px 3px 3px; }
nav a { font-size: 14px; color: var(--st-text-color); border: 1px solid var(--st-border-color); padding: 6px 12px;
  text-decoration: none; }
@media (max-width: 640px) { ul { grid-template-columns: repeat(var(--narrow), minmax(0, var(--size))); } }
"""

JS = """
export default function ({ parentElement, data }) {
  const box = document.createElement("section");
  const list = box.appendChild(document.createElement("ul"));
  for (const name of ["columns", "narrow", "size"]) list.style.setProperty("--" + name, data[name]);
  for (const { source, name, caption } of data.pictures) {
    const item = list.appendChild(document.createElement("li"));
    const link = item.appendChild(document.createElement("a"));
    const file = name.replace(/[^\\p{L}\\p{N}]+/gu, "_") + ".png";
    Object.assign(link, { href: source, download: file, title: "Download " + name });
    Object.assign(link.appendChild(document.createElement("img")), { src: source, alt: name });
    if (caption) item.appendChild(document.createElement("span")).textContent = caption;
  }
  const files = box.appendChild(document.createElement("nav"));
  files.hidden = !data.files.length;
  for (const { source, name, label } of data.files)
    Object.assign(files.appendChild(document.createElement("a")), { href: source, download: name, textContent: label });
  parentElement.querySelector("section")?.remove();
  parentElement.appendChild(box);
}
"""

_mount: Any = st.components.v2.component("gallery", css=CSS, js=JS)


def gallery(
    pictures: Sequence[Shown], key: str, *, columns: int = 10, size: int = 140, files: Sequence[File] = ()
) -> None:
    """Show pictures; a click, or the Enter key, downloads one.

    Args:
        pictures: What to show.
        key: Of the component.
        columns: Pictures in a row; half as many on a narrow screen.
        size: Largest width of a picture in pixels.
        files: Downloads; sent together with the pictures, so that they never hold other ones.
    """
    sources = [
        {"source": _url(png(picture.image), "image/png"), "name": picture.name, "caption": picture.caption}
        for picture in pictures
    ]
    links = [
        {"source": _url(file.content, "application/octet-stream"), "name": file.name, "label": file.label}
        for file in files
    ]
    columns = max(1, min(columns, len(pictures)))
    narrow = max(1, min(-(-columns // 2) if columns > 5 else columns, len(pictures)))
    layout = {"columns": columns, "narrow": narrow, "size": f"{size}px"}
    _mount(key=key, data={"pictures": sources, "files": links, **layout})


def picture_files(
    rows: Tensor, columns: int, labels: Sequence[int], seeds: Sequence[int], class_names: Sequence[str], name: str
) -> list[File]:
    """Return pictures as one grid, as PNGs with ``labels.csv``, and as arrays for NumPy.

    ``rows`` is (N, M, C, H, W) uint8: N pictures, each of M images side by side; ``labels`` and ``seeds`` have N * M
    entries, ``name`` has no ending.
    """
    samples = LabelledImages(rows.flatten(0, 1), torch.tensor(labels), torch.tensor(seeds))
    joined, large = side_by_side(rows), max(2, 512 // rows.shape[-1])
    grey = joined.shape[1] == 1
    ink = [File("Transparent (PNG)", f"{name}_transparent.png", png(_ink(joined, columns, large)))] if grey else []
    return [
        File("Grid (PNG)", f"{name}.png", png(image_grid(joined, columns))),
        File("Large (PNG)", f"{name}_large.png", png(image_grid(joined, columns, scale=large))),
        *ink,
        File("ZIP (PNGs, labels.csv)", f"{name}.zip", zip_archive(samples, class_names)),
        File("NPZ (arrays)", f"{name}.npz", npz(samples)),
    ]


def _ink(images: Tensor, columns: int, scale: int) -> Image.Image:
    """Lay grey images (N, 1, H, W) out as black ink on nothing: bright pixels are opaque, dark ones transparent."""
    _, _, height, width = images.shape
    cells = F.pad(images, (0, 0, 0, 0, 0, 0, 0, -len(images) % columns)).view(-1, columns, height, width)
    opaque = Image.fromarray(cells.transpose(1, 2).reshape(-1, columns * width).numpy())
    opaque = opaque.resize((opaque.width * scale, opaque.height * scale), Image.Resampling.NEAREST)
    drawn = Image.new("LA", opaque.size)
    drawn.putalpha(opaque)
    return drawn


def side_by_side(rows: Tensor) -> Tensor:
    """Join images side by side: (..., M, C, H, W) -> (..., C, H, M * W)."""
    return torch.cat(rows.unbind(-4), dim=-1)


def _url(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
