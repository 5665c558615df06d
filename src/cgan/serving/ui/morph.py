"""Morph: the way from one picture to another."""

import streamlit as st

from cgan.sampling.formats import gif
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import chosen_model, class_field, first_value, in_words, seed_field, service, spec_of

FRAMES = 21
PLACE = "keep.morph.place"


@in_words
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    ends = []
    for side, name, digit, seed in zip(st.columns(2, gap="medium"), ("From", "To"), (3, 8), (1, 2), strict=True):
        with side:
            label = class_field(spec, name, f"keep.morph.{name}.digit", digit)
            ends.append((label, seed_field(f"{name} seed", f"keep.morph.{name}.seed", seed)))
    (start, start_seed), (end, end_seed) = ends
    frames = service().morph(model.name, (start, end), (start_seed, end_seed), FRAMES)
    words = f"{spec.class_names[start]} to {spec.class_names[end]}"
    shown = [Shown(frame, f"{words}, frame {number}") for number, frame in enumerate(frames[::2], start=1)]
    gallery(shown, key="morph.film", columns=len(shown))
    first_value(PLACE, 50)
    percent = st.slider("On the way", 0, 100, step=100 // (FRAMES - 1), format="%d %%", key=PLACE)
    place = percent * (FRAMES - 1) // 100
    gallery([Shown(frames[place], f"{words}, {percent} percent")], key="morph.frame", size=220)
    name = f"{words.replace(' ', '_')}.gif"
    st.download_button("GIF, there and back", gif(frames), name, "image/gif", on_click="ignore")
