"""Download buttons below pictures: one grid, or every picture in one file."""

from collections.abc import Sequence

import streamlit as st
import torch
from torch import Tensor

from cgan.sampling.formats import LabelledImages, npz, png, zip_archive
from cgan.sampling.grids import image_grid


def downloads(
    rows: Tensor, columns: int, labels: Sequence[int], seeds: Sequence[int], class_names: Sequence[str], name: str
) -> None:
    """Offer the pictures as one grid, as PNGs with ``labels.csv``, and as arrays for NumPy.

    Args:
        rows: (N, M, C, H, W) uint8: N pictures, each of M images side by side.
        columns: Pictures in a row of the grid.
        labels: The classes of the N * M images.
        seeds: Their seeds.
        class_names: Of the model.
        name: The file's name, without its ending.
    """
    pictures = LabelledImages(rows.flatten(0, 1), torch.tensor(labels), torch.tensor(seeds))
    figure = image_grid(side_by_side(rows), columns)
    with st.container(horizontal=True):
        _button("Grid (PNG)", png(figure), f"{name}.png", "image/png")
        _button("ZIP (PNGs, labels.csv)", zip_archive(pictures, class_names), f"{name}.zip", "application/zip")
        _button("NPZ (arrays)", npz(pictures), f"{name}.npz", "application/octet-stream")
    st.caption("A click on a picture saves that picture.")


def side_by_side(rows: Tensor) -> Tensor:
    """Join images side by side: (..., M, C, H, W) -> (..., C, H, M * W)."""
    return torch.cat(rows.unbind(-4), dim=-1)


def _button(label: str, content: bytes, name: str, kind: str) -> None:
    st.download_button(label, content, name, kind, key=f"save.{name}", on_click="ignore")
