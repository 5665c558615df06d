"""The buttons below pictures: one sheet, or every picture in one file."""

from collections.abc import Sequence

import streamlit as st
import torch
from torch import Tensor

from cgan.sampling.formats import Pictures, archive, npz, png
from cgan.sampling.grids import grid


def downloads(
    rows: Tensor, columns: int, labels: Sequence[int], seeds: Sequence[int], class_names: Sequence[str], name: str
) -> None:
    """Offer what is shown: a sheet, PNGs with ``labels.csv``, arrays for NumPy.

    Args:
        rows: (N, digits, C, H, W) uint8: N pictures of one digit, or of a number.
        columns: Pictures in a row of the sheet.
        labels: The classes of the N * digits digits.
        seeds: Their seeds.
        class_names: Of the model.
        name: The file's name, without its ending.
    """
    pictures = Pictures(rows.flatten(0, 1), torch.tensor(labels), torch.tensor(seeds))
    sheet = grid(side_by_side(rows), columns)
    with st.container(horizontal=True):
        _button("Grid (PNG)", png(sheet), f"{name}.png", "image/png")
        _button("ZIP (PNGs, labels.csv)", archive(pictures, class_names), f"{name}.zip", "application/zip")
        _button("NPZ (arrays)", npz(pictures), f"{name}.npz", "application/octet-stream")
    st.caption("A click on a picture saves that picture.")


def side_by_side(rows: Tensor) -> Tensor:
    """Join the digits of a number: (..., digits, C, H, W) -> (..., C, H, digits * W)."""
    return torch.cat(rows.unbind(-4), dim=-1)


def _button(label: str, content: bytes, name: str, kind: str) -> None:
    st.download_button(label, content, name, kind, key=f"save.{name}", on_click="ignore")
