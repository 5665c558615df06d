"""The web page: `streamlit run app.py`."""

import streamlit as st

from cgan.serving.ui import PAGE, lifespan

app = st.App(PAGE, lifespan=lifespan)
