"""The web page as Streamlit serves it: ``cgan app``, or ``streamlit run app.py`` in a checkout."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st

from cgan.serving.ui import PAGE, warm


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load torch and the default model while the server starts, not at the first visit."""
    warm()
    yield {}


app = st.App(PAGE, lifespan=lifespan)
