"""Style: every class with one latent, and sliders for slant, thickness and width."""

import streamlit as st

from cgan.serving.ui.gallery import Shown, gallery, picture_files
from cgan.serving.ui.parts import chosen_model, fragment, seed_field, service, spec_of, truncation_field

MAX_SHIFT = 3.0
MAX_SHOWN = 100


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    names = spec.class_names[:MAX_SHOWN]
    picture, controls = st.columns([3, 2], gap="medium")
    with controls:
        seed = seed_field("Style seed", "style.seed", 7, dice=True)
        truncation = truncation_field("style.truncation")
        z = service().style(model.name, seed, truncation)
        if spec.img_shape[0] == 1:  # strokes of ink
            with st.spinner("Measuring slant, thickness and width of this model"):
                directions = service().directions(model.name)
            for name, direction in directions.items():
                key = f"style.{name}"
                value = st.slider(name.capitalize(), -MAX_SHIFT, MAX_SHIFT, 0.0, 0.1, key=key, persist_state="session")
                z = z + direction * value
            st.button("Reset", on_click=_reset, args=(list(directions),))
    labels = range(len(names))
    images = service().render(model.name, z, labels)
    with picture:
        shown = [Shown(image, f"{name}, style {seed}", name) for image, name in zip(images, names, strict=True)]
        file_name = f"style_{seed}_truncation_{truncation:.2g}"
        files = picture_files(images.unsqueeze(1), 5, labels, [seed] * len(labels), names, file_name)
        gallery(shown, key="style", columns=5, files=files)


def _reset(names: list[str]) -> None:
    for name in names:
        st.session_state[f"style.{name}"] = 0.0
