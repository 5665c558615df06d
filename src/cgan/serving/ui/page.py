"""The page: the script that Streamlit runs for every visitor."""

import streamlit as st

from cgan.serving.ui import compare, draw, invert, morph, style, train
from cgan.serving.ui.parts import example, model_field

TABS = {
    "Draw": draw.show,
    "Style": style.show,
    "Your picture": invert.show,
    "Morph": morph.show,
    "Compare": compare.show,
    "Train": train.show,
}
INTRODUCTION = """
A *generator* is a neural network that turns random numbers into a picture of the class that you choose. It has learned
this from example pictures, against a second network, the *discriminator*, which tried to tell its pictures from real
ones. A class and a seed name a picture: another seed gives a new one.
"""
CSS = """<style>
.stMainBlockContainer { padding-top: 2rem; padding-bottom: 3rem; }
h1 { padding: 0 0 0.5rem !important; font-size: 1.75rem !important; }
[data-testid="stButtonGroup"] button { padding: 0 0.75rem; min-width: 0; }
@media (max-width: 640px) { .stMainBlockContainer { padding-top: 1rem; } }
</style>"""

picture = example()
st.set_page_config(
    page_title="cgan", page_icon=picture and picture.crop((0, 0, picture.height, picture.height)), layout="centered"
)
st.html(CSS)
st.title("Draw with a neural network", anchor=False)
st.markdown(INTRODUCTION)
if picture is not None:
    st.image(picture, width="stretch")
model_field()
for name, tab in zip(TABS, st.tabs(list(TABS), key="tab", bind="query-params"), strict=True):
    if tab.open:
        with tab:
            TABS[name]()
