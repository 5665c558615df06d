"""The web page: one file per tab over :mod:`cgan.serving.service`.

``streamlit run app.py`` runs :data:`PAGE` for every visitor.
"""

from pathlib import Path

from cgan.serving.ui.parts import warm

PAGE = Path(__file__).with_name("page.py")

__all__ = ["PAGE", "warm"]
