"""What the tabs share: the core, the chosen model, seeds with dice, errors in words."""

import functools
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import streamlit as st
from PIL import Image

from cgan.errors import CganError
from cgan.sampling.grids import to_picture
from cgan.serving.service import Model, Service
from cgan.serving.training import Trainings
from cgan.spec import DataSpec

MODEL = "keep.model"
DICE = ":material/casino:"
LONGEST_WORD = 12


@st.cache_resource(show_spinner=False)
def service() -> Service:
    """Return the one core that all visitors share; like the scripts, it looks for ``logs/`` where it was started."""
    return Service(Path("logs"))


@st.cache_resource(show_spinner=False)
def trainings() -> Trainings:
    """Return the trainings of the checkout in which the page was started."""
    return Trainings(Path.cwd())


def warm() -> None:
    """Load the first model and draw with it once, so that the first visitor waits for neither."""
    with suppress(CganError):  # the page says what is wrong
        name = service().default_model()
        service().draw(name, [0], [0])


def in_words(show: Callable[[], None]) -> Callable[[], None]:
    """Run a tab by itself, so that its widgets wait for no other tab; an error becomes a sentence."""

    @functools.wraps(show)
    def tab() -> None:
        try:
            show()
        except CganError as error:
            st.error(str(error))

    return st.fragment(tab)


@st.cache_data(show_spinner=False)
def icon() -> Image.Image | None:
    """Return the page's icon: a picture of the first model's, which needs no network."""
    try:
        return to_picture(service().draw(service().default_model(), [8], [44], 0.6)[0])
    except CganError:
        return None


def model_field() -> None:
    """Let the visitor choose a model; name those that cannot be read."""
    models = service().models()
    if usable := [model.name for model in models if model.error is None]:
        st.selectbox("Model", usable, key=MODEL)
    if broken := [model for model in models if model.error is not None]:
        with st.expander(f"{len(broken)} model{'s' * (len(broken) > 1)} cannot be read"):
            for model in broken:
                st.warning(f"{model.name}: {model.error}")


def chosen_model() -> Model:
    """Return the chosen model.

    Raises:
        CganError: There is none.
    """
    name = st.session_state.get(MODEL) or service().default_model()
    return next(model for model in service().models() if model.name == name)


def spec_of(model: Model) -> DataSpec:
    """Return what a usable model draws."""
    assert model.spec is not None, "only models that can be read are chosen"
    return model.spec


def class_field(spec: DataSpec, label: str, key: str, default: int) -> int:
    """Let the visitor choose a class; ten digits lie open, other names in a list."""
    first = min(default, spec.num_classes - 1)
    names = list(spec.class_names)
    if _one_letter(spec):
        chosen = st.segmented_control(label, names, default=names[first], key=key, required=True)
    else:
        chosen = st.selectbox(label, names, index=first, key=key)
    return names.index(chosen)


def word_field(spec: DataSpec, label: str, key: str, default: str = "") -> list[int]:
    """Let the visitor type a number such as 2026; return its classes, empty where nothing is typed.

    Raises:
        CganError: The model lacks one of the characters.
    """
    if not _one_letter(spec):
        return []
    text = st.text_input(label, default, max_chars=LONGEST_WORD, key=key, placeholder="2026")
    return [spec.label_of(letter) for letter in text.strip()]


def seed_field(label: str, key: str, default: int) -> int:
    """Let the visitor choose a seed, or throw dice for one."""
    st.session_state.setdefault(key, default)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = st.number_input(label, min_value=0, max_value=2**31, step=1, key=key, width=160)
        st.button("", icon=DICE, key=f"dice.{key}", help=f"{label}: throw dice", on_click=roll, args=(key,))
    return int(seed)


def roll(key: str) -> None:
    """Put a random seed into the field ``key``."""
    st.session_state[key] = secrets.randbelow(100_000)


def neatness_field(key: str) -> float:
    """Let the visitor trade variety for neatness; return the truncation, 1 down to 0.1."""
    neatness = st.slider(
        "Neatness", 0.0, 0.9, 0.2, 0.05, key=key, help="More neatness, less variety: truncation = 1 - neatness"
    )
    return 1 - neatness


def _one_letter(spec: DataSpec) -> bool:
    return all(len(name) == 1 for name in spec.class_names)
