"""Draw: variations of one class, or of several classes side by side."""

import streamlit as st
import torch
from torch import Tensor

from cgan.serving.ui.gallery import Shown, gallery, picture_files, side_by_side
from cgan.serving.ui.parts import (
    MAX_SEED,
    chosen_model,
    class_field,
    classes_field,
    fragment,
    seed_field,
    service,
    spec_of,
    truncation_field,
)

MAX_COUNT = 50
SEED, COUNT = "seed", "count"


@fragment
def show() -> None:
    """Show the tab: its pictures follow every change of a control."""
    model = chosen_model()
    spec = spec_of(model)
    one, several = st.columns([3, 2])
    with one:
        label = class_field(spec, "Class", "class", 7, bind="query-params")
    with several:
        labels = classes_field(spec, "or several side by side", "classes") or [label]
    left, right = st.columns(2)
    with left:
        count = st.slider("How many", 1, MAX_COUNT, 5, key=COUNT, bind="query-params")
    with right:
        truncation = truncation_field("truncation", bind="query-params")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = seed_field("Seed", SEED, 43, bind="query-params")
        st.button("Generate", type="primary", on_click=_next_seed, help="New pictures: the seed moves on")
    seeds = list(range(seed, seed + count))
    rows = draw(model.name, labels, seeds, truncation)
    text = " ".join(spec.class_names[label] for label in labels)
    columns, size = max(10 // len(labels), 1), min(140 * len(labels), 700)
    shown = [
        Shown(image, f"{text}, seed {number}", f"seed {number}")
        for image, number in zip(side_by_side(rows), seeds, strict=True)
    ]
    name = f"{text.replace(' ', '_')}_seed_{seed}_truncation_{truncation:.2g}"
    all_seeds = [number for number in seeds for _ in labels]
    files = picture_files(rows, min(columns, count), labels * count, all_seeds, spec.class_names, name)
    gallery(shown, key="draw", columns=columns, size=size, files=files)


def draw(model: str, labels: list[int], seeds: list[int], truncation: float) -> Tensor:
    """Draw one variation per seed: (N, M, C, H, W) uint8 for N seeds and M labels.

    A single class is the image that class and seed name; several classes share the style that the seed names.
    """
    if len(labels) == 1:
        return service().draw(model, labels * len(seeds), seeds, truncation).unsqueeze(1)
    styles = [service().style(model, seed) for seed in seeds]
    return torch.stack([service().render(model, style, labels, truncation) for style in styles])


def _next_seed() -> None:
    state = st.session_state
    state[SEED] = (state[SEED] + state[COUNT]) % MAX_SEED
