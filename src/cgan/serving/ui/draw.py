"""Draw: variations of one class, or of several classes side by side."""

from dataclasses import dataclass

import streamlit as st
import torch
from torch import Tensor

from cgan.serving.service import Model
from cgan.serving.ui.downloads import downloads, side_by_side
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import (
    DICE,
    chosen_model,
    class_field,
    classes_field,
    fragment,
    roll,
    service,
    set_default,
    spec_of,
    truncation_field,
)

MAX_COUNT = 50
SEED, COUNT = "keep.draw.seed", "keep.draw.count"


@dataclass(frozen=True)
class DrawRequest:
    """The values of the controls.

    Attributes:
        labels: The classes of one variation, from left to right.
        count: Number of variations.
        seed: Of the first; each further one has the next.
        truncation: Factor on the latents.
    """

    labels: list[int]
    count: int
    seed: int
    truncation: float

    @property
    def seeds(self) -> list[int]:
        """One seed per variation."""
        return [self.seed + index for index in range(self.count)]


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    request = _controls(model)
    rows = draw(model.name, request)
    names = spec_of(model).class_names
    text = "".join(names[label] for label in request.labels)
    shown = [
        Shown(image, f"{text}, seed {seed}", f"seed {seed}")
        for image, seed in zip(side_by_side(rows), request.seeds, strict=True)
    ]
    width = len(request.labels)
    columns = max(10 // width, 1)
    gallery(shown, key="draw", columns=columns, size=140 * width)
    labels, seeds = request.labels * request.count, [seed for seed in request.seeds for _ in request.labels]
    name = f"{text}_seed_{request.seed}_truncation_{request.truncation:.2g}"
    downloads(rows, min(columns, request.count), labels, seeds, names, name)


def draw(model: str, request: DrawRequest) -> Tensor:
    """Draw every variation: (count, M, C, H, W) uint8.

    A single class is the image that class and seed name; several classes share the style that the seed names.
    """
    if len(request.labels) == 1:
        return service().draw(model, request.labels * request.count, request.seeds, request.truncation).unsqueeze(1)
    styles = [service().style(model, seed, request.truncation) for seed in request.seeds]
    return torch.stack([service().render(model, style, request.labels) for style in styles])


def _controls(model: Model) -> DrawRequest:
    spec = spec_of(model)
    set_default(SEED, 43)
    set_default(COUNT, 5)
    with st.form("draw", border=False):
        single, several = st.columns([3, 2])
        with single:
            label = class_field(spec, "Class", "keep.draw.class", 7)
        with several:
            labels = classes_field(spec, "or several side by side", "keep.draw.classes") or [label]
        left, right = st.columns(2)
        with left:
            count = st.slider("How many", 1, MAX_COUNT, key=COUNT)
        with right:
            truncation = truncation_field("keep.draw.truncation")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            seed = st.number_input("Seed", min_value=0, max_value=2**31, step=1, key=SEED, width=160)
            st.form_submit_button("Generate", type="primary")
            st.form_submit_button("Other seed", icon=DICE, on_click=roll, args=(SEED,))
    return DrawRequest(labels, count, int(seed), truncation)
