"""What the tabs share: the service, the chosen model, fields, error messages."""

import functools
import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pandas as pd
import streamlit as st
from PIL import Image

from cgan.errors import CganError
from cgan.sampling.draw import NEAT
from cgan.sampling.grids import image_grid
from cgan.serving import service as limits
from cgan.serving.catalog import Model
from cgan.serving.service import Service
from cgan.serving.training import Trainings
from cgan.spec import DataSpec

MODEL = "model.name"
DICE = ":material/casino:"
MAX_CLASSES = 12
MAX_LETTERS = 60
"""Names of classes with at most this many letters in all are buttons; more are a list."""
MAX_SEED = limits.MAX_SEED - limits.MAX_IMAGES
Bind = Literal["query-params"] | None
"""``query-params``: the field stands in the page's address, so that a link carries its value."""


@st.cache_resource(show_spinner=False)
def service() -> Service:
    """Return the service that all visitors share; it reads ``logs/`` of the current directory, as the scripts do."""
    return Service(Path("logs"))


@st.cache_resource(show_spinner=False)
def trainings() -> Trainings:
    """Return the trainings of the current directory."""
    return Trainings(Path.cwd())


def warm() -> None:
    """Load the default model and draw with it once, before the first visit."""
    with suppress(CganError):  # the page shows the error
        name = service().default_model()
        service().draw(name, [0], [0])


def fragment(show: Callable[[], None], every_s: float | None = None) -> Callable[[], None]:
    """Make a part of the page run by itself, also every some seconds; a :class:`CganError` becomes a message."""

    @functools.wraps(show)
    def part() -> None:
        try:
            show()
        except CganError as error:
            st.error(str(error))

    return st.fragment(part, run_every=every_s)


@st.cache_resource(show_spinner=False)  # cache_data warns while the server starts
def example() -> Image.Image | None:
    """Return ten pictures in a row by the first model with nothing known against it: a bundled one, if there is any."""
    try:
        models = [model for model in service().models() if model.error is None]
        name = min(models, key=lambda model: bool(model.warning)).name if models else service().default_model()
        labels = [index % service().spec(name).num_classes for index in range(10)]
        return image_grid(service().draw(name, labels, range(10), NEAT), 10, scale=3)
    except CganError:
        return None


def model_field() -> None:
    """Show the choice of a model, what is known of it, and the models that cannot be read."""
    models = service().models()
    usable = {model.name: model for model in models if model.error is None}
    if usable:
        wanted = st.session_state.setdefault(MODEL, st.query_params.get("model", service().default_model()))
        if wanted not in usable:  # a link from elsewhere, or a folder that has gone
            st.warning("The model of this link is not here: another one is shown.")  # its name could hold Markdown
        _reset_unknown(MODEL, list(usable), 0)
        name = st.selectbox("Model", list(usable), format_func=lambda name: usable[name].label, key=MODEL)
        st.query_params["model"] = name  # so that a link carries it; bind= would put the label there
        about(usable[name])
    if broken := [model for model in models if model.error is not None]:
        with st.expander(f"{len(broken)} model{'s' * (len(broken) > 1)} cannot be read"):
            for model in broken:
                st.warning(plain(f"{model.name}: {model.error}"))


def about(model: Model) -> None:
    """Show a model's warning and its values beside those of real images, or that there are none."""
    if model.warning:
        st.warning(plain(model.warning))
    with st.expander("How good is this model?") if model.values else st.container():
        values_table([model])


def values_table(models: Sequence[Model]) -> None:
    """Show a row per measured value and a column per model, then what each value means."""
    described = {(value.name, value.protocol): value for model in models for value in model.values}
    if not described:
        st.caption("Not evaluated: `cgan evaluate ckpt=...` measures it.")
        return
    texts = {
        plain(model.label): {(value.name, value.protocol): value.text for value in model.values} for model in models
    }
    rows = {label: [values.get(key, "not measured") for key in described] for label, values in texts.items()}
    several = len({protocol for _, protocol in described}) > 1  # not comparable: a row for each
    titles = [f"{value.title} ({value.protocol})" if several else value.title for value in described.values()]
    st.table(pd.DataFrame(rows, map(plain, titles)))
    for about in {value.name: value for value in described.values()}.values():
        advice = f" ({about.advice})" if about.advice else ""
        st.caption(f"**{plain(about.title)}**: {plain(about.sentence + advice)}")


def plain(text: str) -> str:
    """Escape what Streamlit takes for Markdown: a name of a foreign file could load a picture from anywhere."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!:|<>$~&])", r"\\\1", text)


def chosen_model() -> Model:
    """Return the chosen model."""
    return service().model(st.session_state.get(MODEL) or service().default_model())


def spec_of(model: Model) -> DataSpec:
    """Return what a usable model draws."""
    assert model.spec is not None, "only models that can be read are chosen"
    return model.spec


def class_field(spec: DataSpec, label: str, key: str, default: int, bind: Bind = None) -> int:
    """Show the choice of a class and return it: buttons for short names, else a list; no field for one class."""
    names = list(spec.class_names)
    default = min(default, len(names) - 1)
    if len(names) == 1:
        return 0
    _reset_unknown(key, names, default)
    if len("".join(names)) <= MAX_LETTERS:
        name = st.segmented_control(
            label,
            names,
            default=names[default],
            format_func=plain,
            key=key,
            required=True,
            wrap=True,
            bind=bind,
            persist_state="session",
        )
    else:
        name = st.selectbox(label, names, default, key=key, bind=bind, persist_state="session")
    return names.index(name or names[default])


def classes_field(spec: DataSpec, label: str, key: str, default: str = "") -> list[int]:
    """Show a field for several classes and return them; none where it is empty or has an error.

    Names of one letter are written in a row, such as 2026; combinations are separated by commas, such as 3+1+4, 2+7+1.
    There is no field for other names.
    """
    letters = all(len(name) == 1 for name in spec.class_names)
    if spec.num_classes == 1 or not (letters or len(spec.factors) > 1):
        return []
    digits = letters and all(name.isdecimal() for name in spec.class_names)
    text = st.text_input(
        label,
        default if letters else "",
        max_chars=MAX_CLASSES if letters else None,
        key=key,
        placeholder=("2026" if digits else None) if letters else f"{spec.class_names[-1]}, {spec.class_names[0]}",
        type="phone" if digits else "default",  # a numeric keypad on phones
        icon="",
        autocomplete="off",
        persist_state="session",
    )
    try:
        return typed_classes(text or "", spec)
    except CganError as error:
        st.error(str(error))
        return []


def typed_classes(text: str, spec: DataSpec) -> list[int]:
    """Return the labels of classes typed in a row: letter by letter, or combinations separated by commas.

    Raises:
        CganError: There is no such class.
    """
    single = len(spec.factors) == 1
    names = list("".join(text.split())) if single else [part.strip() for part in text.split(",") if part.strip()]
    return [spec.label_of(name) for name in names[:MAX_CLASSES]]


def seed_field(label: str, key: str, default: int, *, dice: bool = False, bind: Bind = None) -> int:
    """Show a field for a seed, on request with a button for a random one, and return it."""

    def roll() -> None:
        st.session_state[key] = secrets.randbelow(100_000)

    with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
        seed = st.number_input(label, 0, MAX_SEED, default, 1, key=key, width=160, bind=bind, persist_state="session")
        if dice:
            st.button("", icon=DICE, key=f"dice.{key}", help=f"{label}: random", on_click=roll)
    return int(seed)


def truncation_field(key: str, bind: Bind = None) -> float:
    """Show the slider of the truncation, 0.1 to 1.5, and return it; 1 leaves the latents as they are."""
    return st.slider(
        "Truncation",
        0.1,
        1.5,
        NEAT,
        0.05,
        key=key,
        help="Lower: neater, less varied",
        bind=bind,
        persist_state="session",
    )


def _reset_unknown(key: str, options: Sequence[str], default: int) -> None:
    """Set a field to its default where a change of model has removed its value from the options."""
    if key in st.session_state and st.session_state[key] not in options:
        st.session_state[key] = options[default]
