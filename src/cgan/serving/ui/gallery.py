"""Pictures in rows with captions; a click on one downloads it."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st
from torch import Tensor

from cgan.sampling.formats import png


class Shown(NamedTuple):
    """One picture of a gallery.

    Attributes:
        image: (C, H, W) uint8.
        name: What it shows, for the file's name and the alternative text, for example ``"3, seed 7"``.
        caption: The text below it.
    """

    image: Tensor
    name: str
    caption: str = ""


CSS = """
ul { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, var(--size))); gap: 10px 6px;
  list-style: none; margin: 0; padding: 3px; }
a { display: block; border-radius: 6px; overflow: hidden; }
a:focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
a:hover { box-shadow: 0 0 0 3px var(--st-primary-color); }
img { display: block; width: 100%; }
span { display: block; text-align: center; font-size: 12px; line-height: 1.6; color: #5a6072;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
@media (max-width: 640px) { ul { grid-template-columns: repeat(var(--narrow), minmax(0, var(--size))); } }
"""

JS = """
export default function ({ parentElement, data }) {
  const list = document.createElement("ul");
  for (const name of ["columns", "narrow", "size"]) list.style.setProperty("--" + name, data[name]);
  for (const { source, name, caption } of data.pictures) {
    const item = list.appendChild(document.createElement("li"));
    const link = item.appendChild(document.createElement("a"));
    Object.assign(link, { href: source, download: name.replace(/[^\\w]+/g, "_") + ".png", title: "Download " + name });
    Object.assign(link.appendChild(document.createElement("img")), { src: source, alt: name });
    if (caption) item.appendChild(document.createElement("span")).textContent = caption;
  }
  parentElement.querySelector("ul")?.remove();
  parentElement.appendChild(list);
}
"""

_mount: Any = st.components.v2.component("gallery", css=CSS, js=JS)


def gallery(pictures: Sequence[Shown], key: str, *, columns: int = 10, size: int = 140) -> None:
    """Show pictures; a click, or the Enter key, downloads one.

    Args:
        pictures: What to show.
        key: Of the component.
        columns: Pictures in a row; half as many on a narrow screen.
        size: Largest width of a picture in pixels.
    """
    sources = [
        {
            "source": f"data:image/png;base64,{base64.b64encode(png(picture.image)).decode()}",
            "name": picture.name,
            "caption": picture.caption,
        }
        for picture in pictures
    ]
    columns = max(1, min(columns, len(pictures)))
    narrow = max(1, min(-(-columns // 2) if columns > 5 else columns, len(pictures)))
    _mount(key=key, data={"pictures": sources, "columns": columns, "narrow": narrow, "size": f"{size}px"})
