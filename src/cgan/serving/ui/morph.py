"""Morph: from one picture to another, frame by frame."""

import streamlit as st

from cgan.sampling.formats import gif
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import chosen_model, class_field, fragment, seed_field, service, set_default, spec_of

FRAMES = 21
SHARE = "keep.morph.share"


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    ends = []
    for side, name, digit, seed in zip(st.columns(2, gap="medium"), ("From", "To"), (3, 8), (1, 2), strict=True):
        with side:
            label = class_field(spec, name, f"keep.morph.{name}.class", digit)
            ends.append((label, seed_field(f"{name} seed", f"keep.morph.{name}.seed", seed)))
    (start, start_seed), (end, end_seed) = ends
    frames = service().morph(model.name, (start, end), (start_seed, end_seed), FRAMES)
    name = f"{spec.class_names[start]} to {spec.class_names[end]}"
    shown = [Shown(frame, f"{name}, frame {index}") for index, frame in enumerate(frames[::2], start=1)]
    gallery(shown, key="morph.film", columns=len(shown))
    set_default(SHARE, 50)
    percent = st.slider("Share", 0, 100, step=100 // (FRAMES - 1), format="%d %%", key=SHARE)
    index = percent * (FRAMES - 1) // 100
    gallery([Shown(frames[index], f"{name}, {percent} percent")], key="morph.frame", size=220)
    file_name = f"{name.replace(' ', '_')}.gif"
    st.download_button("GIF, there and back", gif(frames), file_name, "image/gif", on_click="ignore")
