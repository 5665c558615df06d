"""Morph: from one picture to another, frame by frame."""

import streamlit as st

from cgan.sampling.formats import gif
from cgan.serving.ui.gallery import File, Shown, gallery
from cgan.serving.ui.parts import chosen_model, class_field, fragment, seed_field, service, spec_of, truncation_field

FRAMES = 21


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    ends = []
    for side, name, label, seed in zip(st.columns(2, gap="medium"), ("From", "To"), (3, 8), (1, 2), strict=True):
        with side:
            label = class_field(spec, name, f"morph.{name}.class", label)
            ends.append((label, seed_field(f"{name} seed", f"morph.{name}.seed", seed, dice=True)))
    (start, start_seed), (end, end_seed) = ends
    truncation = truncation_field("morph.truncation")
    frames = service().morph(model.name, (start, end), (start_seed, end_seed), FRAMES, truncation)
    name = f"{spec.class_names[start]} to {spec.class_names[end]}"
    shown = [Shown(frame, f"{name}, frame {index}") for index, frame in enumerate(frames[::2], start=1)]
    film = File("GIF, there and back", f"{name.replace(' ', '_')}.gif", gif(frames))
    gallery(shown, key="morph.film", columns=len(shown), files=[film])
    percent = st.slider("Share", 0, 100, 50, 100 // (FRAMES - 1), "%d %%", key="morph.share", persist_state="session")
    index = percent * (FRAMES - 1) // 100
    gallery([Shown(frames[index], f"{name}, {percent} percent")], key="morph.frame", size=220)
