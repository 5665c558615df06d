"""Compare: several models on the same seeds, beside their measured values."""

import streamlit as st

from cgan.errors import CganError
from cgan.serving.catalog import Model
from cgan.serving.ui.gallery import Shown, gallery
from cgan.serving.ui.parts import (
    chosen_model,
    class_field,
    fragment,
    plain,
    seed_field,
    service,
    spec_of,
    values_table,
)

COUNT = 10
CHOSEN = "compare.models"


@fragment
def show() -> None:
    """Show the tab."""
    usable = {model.name: model for model in service().models() if model.error is None}
    if len(usable) < 2:
        st.info("There is nothing to compare yet: train a second model in the tab Train.")
        return
    if CHOSEN in st.session_state:
        st.session_state[CHOSEN] = [name for name in st.session_state[CHOSEN] if name in usable]
    chosen = chosen_model()
    others = sorted((name for name in usable if name != chosen.name), key=lambda n: usable[n].classes != chosen.classes)
    names = st.multiselect(
        "Models",
        list(usable),
        [chosen.name, others[0]],
        lambda name: usable[name].label,
        key=CHOSEN,
        persist_state="session",
    )
    if not names:
        st.info("Choose two or more models.")
        return
    models = [usable[name] for name in names]
    specs = [spec_of(model) for model in models]
    asked = next((spec for spec in specs if spec.num_classes > 1), specs[0])  # of one class there is no choice
    name = asked.class_names[class_field(asked, "Class", "compare.class", 4)]
    seed = seed_field("First seed", "compare.seed", 0, dice=True)
    for model in models:
        try:
            _row(model, name, [seed + index for index in range(COUNT)])
        except CganError as error:  # gone since
            st.warning(plain(f"{model.label}: {error}"))
    values_table(models)


def _row(model: Model, name: str, seeds: list[int]) -> None:
    names = spec_of(model).class_names
    name = names[0] if len(names) == 1 else name
    st.markdown(f"**{plain(model.label)}**")
    if name not in names:
        st.caption(plain(f"It has no class {name}."))
        return
    images = service().draw(model.name, [names.index(name)] * len(seeds), seeds)
    shown = [
        Shown(image, f"{name} by {model.name}, seed {seed}", str(seed))
        for image, seed in zip(images, seeds, strict=True)
    ]
    gallery(shown, key=f"compare.{model.name}")
