"""What the tabs share: the service, the chosen model, fields, error messages."""

import functools
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import streamlit as st
from PIL import Image

from cgan.errors import CganError
from cgan.sampling.grids import to_pil
from cgan.serving.service import Model, Service
from cgan.serving.training import Trainings
from cgan.spec import DataSpec

MODEL = "keep.model"
DICE = ":material/casino:"
MAX_CLASSES = 12


@st.cache_resource(show_spinner=False)
def service() -> Service:
    """Return the service that all visitors share; it reads ``logs/`` of the current directory, as the scripts do."""
    return Service(Path("logs"))


@st.cache_resource(show_spinner=False)
def trainings() -> Trainings:
    """Return the trainings of the checkout in which the page was started."""
    return Trainings(Path.cwd())


def warm() -> None:
    """Load the default model and draw with it once, before the first visit."""
    with suppress(CganError):  # the page shows the error
        name = service().default_model()
        service().draw(name, [0], [0])


def fragment(show: Callable[[], None], every_s: float | None = None) -> Callable[[], None]:
    """Turn a part of the page into a fragment, which runs by itself; a :class:`CganError` becomes a message.

    Args:
        show: Shows the part.
        every_s: Seconds after which it runs again; None: only when the visitor changes something.
    """

    @functools.wraps(show)
    def part() -> None:
        try:
            show()
        except CganError as error:
            st.error(str(error))

    return st.fragment(part, run_every=every_s)


@st.cache_data(show_spinner=False)
def icon() -> Image.Image | None:
    """Return the page's icon: a picture that the default model draws."""
    try:
        return to_pil(service().draw(service().default_model(), [8], [44], 0.6)[0])
    except CganError:
        return None


def model_field() -> None:
    """Show the choice of a model and the models that cannot be read."""
    models = service().models()
    if usable := [model.name for model in models if model.error is None]:
        set_default(MODEL, usable[0], usable)
        st.selectbox("Model", usable, key=MODEL)
    if broken := [model for model in models if model.error is not None]:
        with st.expander(f"{len(broken)} model{'s' * (len(broken) > 1)} cannot be read"):
            for model in broken:
                st.warning(f"{model.name}: {model.error}")


def chosen_model() -> Model:
    """Return the chosen model.

    Raises:
        CganError: There is none, or it can no longer be read.
    """
    return service().model(st.session_state.get(MODEL) or service().default_model())


def spec_of(model: Model) -> DataSpec:
    """Return what a usable model draws."""
    assert model.spec is not None, "only models that can be read are chosen"
    return model.spec


def class_field(spec: DataSpec, label: str, key: str, default: int) -> int:
    """Show the choice of a class and return it: buttons for names of one letter, else a list."""
    names = list(spec.class_names)
    set_default(key, names[min(default, len(names) - 1)], names)
    if _one_letter(spec):
        return names.index(st.segmented_control(label, names, key=key, required=True) or names[0])
    return names.index(st.selectbox(label, names, key=key))


def classes_field(spec: DataSpec, label: str, key: str, default: str = "") -> list[int]:
    """Show a field for several classes such as 2026 and return them; none where it is empty.

    Raises:
        CganError: The model lacks one of the characters.
    """
    if not _one_letter(spec):
        return []
    set_default(key, default)
    text = st.text_input(label, max_chars=MAX_CLASSES, key=key, placeholder="2026")
    return [spec.label_of(letter) for letter in text.strip()]


def seed_field(label: str, key: str, default: int) -> int:
    """Show a field for a seed, with a button for a random one, and return it."""
    set_default(key, default)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = st.number_input(label, min_value=0, max_value=2**31, step=1, key=key, width=160)
        st.button("", icon=DICE, key=f"dice.{key}", help=f"{label}: random", on_click=roll, args=(key,))
    return int(seed)


def set_default(key: str, default: object, options: Collection[object] | None = None) -> None:
    """Set a field's default, also when the model has changed and its value is no longer among the options."""
    if key not in st.session_state or (options is not None and st.session_state[key] not in options):
        st.session_state[key] = default


def roll(key: str) -> None:
    """Put a random seed into the field ``key``."""
    st.session_state[key] = secrets.randbelow(100_000)


def truncation_field(key: str) -> float:
    """Show the slider of the truncation, 0.1 to 1, and return it."""
    set_default(key, 0.6)
    return st.slider("Truncation", 0.1, 1.0, step=0.05, key=key, help="Lower: neater, less varied")


def _one_letter(spec: DataSpec) -> bool:
    return all(len(name) == 1 for name in spec.class_names)
