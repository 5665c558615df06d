"""Draw: a digit or a number, as many variations as wished."""

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
    first_value,
    in_words,
    neatness_field,
    roll,
    service,
    spec_of,
    word_field,
)

MOST = 50
SEED, COUNT = "keep.draw.seed", "keep.draw.count"


@dataclass(frozen=True)
class Wish:
    """What to draw.

    Attributes:
        labels: The classes of one variation, from left to right; one for a single digit.
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
        return [self.seed + number for number in range(self.count)]


@in_words
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    wish = _ask(model)
    rows = draw(model.name, wish)
    names = spec_of(model).class_names
    word = "".join(names[label] for label in wish.labels)
    shown = [
        Shown(image, f"{word}, seed {seed}", f"seed {seed}")
        for image, seed in zip(side_by_side(rows), wish.seeds, strict=True)
    ]
    digits = len(wish.labels)
    columns = max(10 // digits, 1)
    gallery(shown, key="draw", columns=columns, size=140 * digits)
    labels, seeds = wish.labels * wish.count, [seed for seed in wish.seeds for _ in wish.labels]
    name = f"{word}_seed_{wish.seed}_truncation_{wish.truncation:.2g}"
    downloads(rows, min(columns, wish.count), labels, seeds, names, name)


def draw(model: str, wish: Wish) -> Tensor:
    """Draw every variation: (count, digits, C, H, W) uint8.

    A single digit is the picture that its class and seed name; the digits of a number share one handwriting.
    """
    if len(wish.labels) == 1:
        return service().draw(model, wish.labels * wish.count, wish.seeds, wish.truncation).unsqueeze(1)
    hands = [service().style(model, seed, wish.truncation) for seed in wish.seeds]
    return torch.stack([service().render(model, hand, wish.labels) for hand in hands])


def _ask(model: Model) -> Wish:
    spec = spec_of(model)
    first_value(SEED, 43)
    first_value(COUNT, 5)
    with st.form("draw", border=False):
        digit, word = st.columns([3, 2])
        with digit:
            label = class_field(spec, "Digit", "keep.draw.digit", 7)
        with word:
            labels = word_field(spec, "or a whole number", "keep.draw.word") or [label]
        left, right = st.columns(2)
        with left:
            count = st.slider("How many", 1, MOST, key=COUNT)
        with right:
            truncation = neatness_field("keep.draw.neatness")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            seed = st.number_input("Seed", min_value=0, max_value=2**31, step=1, key=SEED, width=160)
            st.form_submit_button("Generate", type="primary")
            st.form_submit_button("Other seed", icon=DICE, on_click=roll, args=(SEED,))
    return Wish(labels, count, int(seed), truncation)
