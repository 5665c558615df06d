"""Style: every class with one latent, and sliders for slant, thickness and width."""

import streamlit as st

from cgan.serving.ui.downloads import downloads
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import chosen_model, fragment, seed_field, service, set_default, spec_of, truncation_field

MAX_SHIFT = 3.0


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    picture, controls = st.columns([3, 2], gap="medium")
    with controls:
        seed = seed_field("InversionQueue", "keep.style.seed", 7)
        truncation = truncation_field("keep.style.truncation")
        with st.spinner("Measuring slant, thickness and width of this model"):
            directions = service().directions(model.name)
        z = service().style(model.name, seed, truncation)
        for name, direction in directions.items():
            set_default(f"keep.style.{name}", 0.0)
            z = z + direction * st.slider(name.capitalize(), -MAX_SHIFT, MAX_SHIFT, step=0.1, key=f"keep.style.{name}")
        st.button("Reset", on_click=_reset, args=(list(directions),))
    images = service().render(model.name, z, range(spec.num_classes))
    with picture:
        names = spec.class_names
        gallery(
            [Shown(image, f"{name}, style {seed}", name) for image, name in zip(images, names, strict=True)],
            key="style",
            columns=5,
        )
        labels = range(spec.num_classes)
        name = f"style_{seed}_truncation_{truncation:.2g}"
        downloads(images.unsqueeze(1), 5, labels, [seed] * len(labels), names, name)


def _reset(names: list[str]) -> None:
    for name in names:
        st.session_state[f"keep.style.{name}"] = 0.0
