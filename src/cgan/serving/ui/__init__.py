"""The web page: one file per tab over :mod:`cgan.serving.service`.

Streamlit runs :data:`PAGE` for every visitor.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from cgan.serving.ui.parts import warm

PAGE = Path(__file__).with_name("page.py")


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
    """Load torch and the default model while the server starts, not at the first visit."""
    warm()
    yield {}
