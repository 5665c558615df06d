"""Style: one handwriting, all its digits, and what slant, thickness and width do to it."""

import streamlit as st

from cgan.serving.ui.downloads import downloads
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import chosen_model, first_value, in_words, neatness_field, seed_field, service, spec_of

FARTHEST = 3.0


@in_words
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    picture, controls = st.columns([3, 2], gap="medium")
    with controls:
        seed = seed_field("Handwriting", "keep.style.seed", 7)
        truncation = neatness_field("keep.style.neatness")
        with st.spinner("Measuring slant, thickness and width on this model"):
            directions = service().directions(model.name)
        z = service().style(model.name, seed, truncation)
        for name, direction in directions.items():
            first_value(f"keep.style.{name}", 0.0)
            z = z + direction * st.slider(name.capitalize(), -FARTHEST, FARTHEST, step=0.1, key=f"keep.style.{name}")
        st.button("Back to the middle", on_click=_centre_sliders, args=(list(directions),))
    images = service().render(model.name, z, range(spec.num_classes))
    with picture:
        names = spec.class_names
        gallery(
            [Shown(image, f"{name}, handwriting {seed}", name) for image, name in zip(images, names, strict=True)],
            key="style",
            columns=5,
        )
        labels = range(spec.num_classes)
        name = f"handwriting_{seed}_truncation_{truncation:.2g}"
        downloads(images.unsqueeze(1), 5, labels, [seed] * len(labels), names, name)


def _centre_sliders(names: list[str]) -> None:
    for name in names:
        st.session_state[f"keep.style.{name}"] = 0.0
