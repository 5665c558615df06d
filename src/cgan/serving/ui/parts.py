"""What the tabs share: the core, the chosen model, seeds with dice, errors in words."""

import functools
import secrets
from collections.abc import Callable, Collection
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


def in_words(show: Callable[[], None], every_s: float | None = None) -> Callable[[], None]:
    """Run a part of the page by itself, so that it waits for no other; an error becomes a sentence.

    Args:
        show: Shows the part.
        every_s: Seconds after which it is shown again; None waits for the visitor.
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
    """Return the page's icon: a picture of the first model's, which needs no network."""
    try:
        return to_picture(service().draw(service().default_model(), [8], [44], 0.6)[0])
    except CganError:
        return None


def model_field() -> None:
    """Let the visitor choose a model; name those that cannot be read."""
    models = service().models()
    if usable := [model.name for model in models if model.error is None]:
        first_value(MODEL, usable[0], usable)
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
    """Let the visitor choose a class; ten digits lie open, other names in a list."""
    names = list(spec.class_names)
    first_value(key, names[min(default, len(names) - 1)], names)
    if _one_letter(spec):
        return names.index(st.segmented_control(label, names, key=key, required=True) or names[0])
    return names.index(st.selectbox(label, names, key=key))


def word_field(spec: DataSpec, label: str, key: str, default: str = "") -> list[int]:
    """Let the visitor type a number such as 2026; return its classes, empty where nothing is typed.

    Raises:
        CganError: The model lacks one of the characters.
    """
    if not _one_letter(spec):
        return []
    first_value(key, default)
    text = st.text_input(label, max_chars=LONGEST_WORD, key=key, placeholder="2026")
    return [spec.label_of(letter) for letter in text.strip()]


def seed_field(label: str, key: str, default: int) -> int:
    """Let the visitor choose a seed, or throw dice for one."""
    first_value(key, default)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        seed = st.number_input(label, min_value=0, max_value=2**31, step=1, key=key, width=160)
        st.button("", icon=DICE, key=f"dice.{key}", help=f"{label}: throw dice", on_click=roll, args=(key,))
    return int(seed)


def first_value(key: str, default: object, options: Collection[object] | None = None) -> None:
    """Give a field its value at first sight, and again where a change of model has taken its choice away."""
    if key not in st.session_state or (options is not None and st.session_state[key] not in options):
        st.session_state[key] = default


def roll(key: str) -> None:
    """Put a random seed into the field ``key``."""
    st.session_state[key] = secrets.randbelow(100_000)


def neatness_field(key: str) -> float:
    """Let the visitor trade variety for neatness; return the truncation, 1 down to 0.1."""
    first_value(key, 0.4)
    words = "More neatness, less variety: truncation = 1 - neatness"
    neatness = st.slider("Neatness", 0.0, 0.9, step=0.05, key=key, help=words)
    return 1 - neatness


def _one_letter(spec: DataSpec) -> bool:
    return all(len(name) == 1 for name in spec.class_names)
