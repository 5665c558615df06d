"""Style: every class with one latent, sliders for slant, thickness and width, and mixes of two latents."""

import streamlit as st

from cgan.serving.ui.gallery import Shown, gallery, picture_files
from cgan.serving.ui.parts import chosen_model, fragment, seed_field, service, spec_of, truncation_field

MAX_SHIFT = 3.0
MAX_SHOWN = 100
MAX_BESIDE = 20  # classes; with more the controls stand above, where a phone shows them before the pictures


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    spec = spec_of(model)
    names = spec.class_names[:MAX_SHOWN]
    if len(names) <= MAX_BESIDE:
        picture, controls = st.columns([3, 2], gap="medium")
    else:
        controls, picture = st.container(), st.container()
    with controls:
        seed = seed_field("Style seed", "style.seed", 7, dice=True)
        truncation = truncation_field("style.truncation")
        z = service().style(model.name, seed)
        if spec.img_shape[0] == 1:  # strokes of ink
            with st.spinner("Measuring slant, thickness and width of this model"):
                directions = service().directions(model.name)
            scale = 1.0 if model.style_layers else truncation  # latents are shortened: so much moves as far at any
            for name, direction in directions.items():
                key = f"style.{name}"
                value = st.slider(name.capitalize(), -MAX_SHIFT, MAX_SHIFT, 0.0, 0.1, key=key, persist_state="session")
                z = z + direction * (value / scale)
            st.button("Reset", on_click=_reset, args=(list(directions),))
        mixed = _mix_fields(model.style_layers)
    labels = range(len(names))
    if mixed is None:
        images = service().render(model.name, z, labels, truncation)
    else:
        fine, crossover = mixed
        both = z, service().style(model.name, fine)
        images = service().mix(model.name, both, labels, crossover, truncation)
    with picture:
        shown = [Shown(image, f"{name}, style {seed}", name) for image, name in zip(images, names, strict=True)]
        file_name = f"style_{seed}_truncation_{truncation:.2g}"
        files = picture_files(images.unsqueeze(1), 5, labels, [seed] * len(labels), names, file_name)
        if len(names) < spec.num_classes:
            st.caption(f"The first {len(names)} of {spec.num_classes:,} classes")
        gallery(shown, key="style", columns=5, files=files)


def _mix_fields(layers: int) -> tuple[int, int] | None:
    """Show what a style-based generator can mix; return the seed of the fine layers and the first of them, if any."""
    if layers < 2:
        return None
    fine = seed_field("Fine style seed", "style.fine", 8, dice=True)
    crossover = st.slider(
        "Coarse layers",
        1,
        layers,
        layers,
        key=f"style.crossover.{layers}",  # another model may have fewer
        help="Layers that follow the style seed; the others follow the fine style seed",
        persist_state="session",
    )
    return None if crossover == layers else (fine, crossover)


def _reset(names: list[str]) -> None:
    for name in names:
        st.session_state[f"style.{name}"] = 0.0
