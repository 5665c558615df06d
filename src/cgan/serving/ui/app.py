"""The web page as Streamlit serves it: ``cgan app``, or ``streamlit run app.py`` in a checkout."""

import streamlit as st

from cgan.serving.ui import PAGE, lifespan

app = st.App(PAGE, lifespan=lifespan)
