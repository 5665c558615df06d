"""Compare: several models on the same seeds, beside their measured values."""

import pandas as pd
import streamlit as st

from cgan.errors import CganError
from cgan.serving.service import Model
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import class_field, fragment, seed_field, service, set_default, spec_of

COUNT = 10
CHOSEN = "keep.compare.models"


@fragment
def show() -> None:
    """Show the tab."""
    usable = {model.name: model for model in service().models() if model.error is None}
    if len(usable) < 2:
        st.info("There is nothing to compare yet: train a second model in the tab Train, or with `python train.py`.")
        return
    set_default(CHOSEN, list(usable)[:2])
    st.session_state[CHOSEN] = [name for name in st.session_state[CHOSEN] if name in usable]
    names = st.multiselect("Models", list(usable), key=CHOSEN)
    if not names:
        st.info("Choose two or more models.")
        return
    models = [usable[name] for name in names]
    label = class_field(spec_of(models[0]), "Class", "keep.compare.class", 4)
    seed = seed_field("First seed", "keep.compare.seed", 0)
    for model in models:
        try:
            _row(model, label, [seed + index for index in range(COUNT)])
        except CganError as error:  # fewer classes than the first one, or gone since
            st.warning(f"{model.name}: {error}")
    _table(models)


def _row(model: Model, label: int, seeds: list[int]) -> None:
    st.markdown(f"**{model.name}** · {model.network}, {spec_of(model).name}")
    images = service().draw(model.name, [label] * len(seeds), seeds)
    name = spec_of(model).class_names[label]  # drawn, so it has this class
    gallery(
        [
            Shown(image, f"{name} by {model.name}, seed {seed}", str(seed))
            for image, seed in zip(images, seeds, strict=True)
        ],
        key=f"compare.{model.name}",
    )


def _table(models: list[Model]) -> None:
    tags = list(dict.fromkeys(tag for model in models for tag in model.values))
    if not tags:
        st.caption("None of these models was measured: `python evaluate.py ckpt=...` does it.")
        return
    rows = {model.name: [_value(model, tag) for tag in tags] for model in models}
    st.table(pd.DataFrame(rows, index=tags))


def _value(model: Model, tag: str) -> str:
    return f"{model.values[tag]:.4g}" if tag in model.values else "not measured"
