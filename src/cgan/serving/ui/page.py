"""The page: the script that Streamlit runs for every visitor."""

import streamlit as st

from cgan.serving.ui import compare, draw, invert, morph, style, train
from cgan.serving.ui.parts import icon, model_field

TABS = {
    "Draw": draw.show,
    "Style": style.show,
    "Your picture": invert.show,
    "Morph": morph.show,
    "Compare": compare.show,
    "Train": train.show,
}
CSS = """<style>
.stMainBlockContainer { padding-top: 2rem; padding-bottom: 3rem; }
h1 { padding: 0 !important; font-size: 1.75rem !important; }
[data-testid="stButtonGroup"] button { padding: 0 0.75rem; min-width: 0; }
@media (max-width: 640px) { .stMainBlockContainer { padding-top: 1rem; } }
</style>"""


def keep() -> None:
    """Keep the values of closed tabs, which Streamlit drops otherwise."""
    for key in st.session_state:
        if str(key).startswith("keep."):
            st.session_state[key] = st.session_state[key]


st.set_page_config(page_title="cgan", page_icon=icon(), layout="centered")
st.html(CSS)
keep()
title, model = st.columns([3, 2], vertical_alignment="bottom")
with title:
    st.title("cgan: draw with a generator", anchor=False)
with model:
    model_field()
for name, tab in zip(TABS, st.tabs(list(TABS), key="tab", bind="query-params"), strict=True):
    if tab.open:
        with tab:
            TABS[name]()
