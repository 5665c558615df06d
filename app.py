"""The web page: `streamlit run app.py`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import streamlit as st

from cgan.serving.ui import PAGE, warm


@asynccontextmanager
async def ready_before_the_first_visitor(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load torch and the generator while the server starts, so that no visitor waits for them."""
    warm()
    yield {}


app = st.App(PAGE, lifespan=ready_before_the_first_visitor)
