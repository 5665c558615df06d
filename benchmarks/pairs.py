"""The networks and the data under test, built as `train.py` builds them."""

import tempfile
from pathlib import Path

from hydra.utils import instantiate

from cgan.data.sources import Source
from cgan.module import ConditionalGAN
from cgan.spec import DataSpec
from cgan.tasks.train import build_module
from common import composed

DIGITS = DataSpec("mnist", (1, 28, 28), tuple("0123456789"))


def fresh_pair(model: str, *overrides: str) -> ConditionalGAN:
    """Build a module with untrained networks; its ``generator`` and ``discriminator`` are what loops train."""
    with tempfile.TemporaryDirectory() as folder:
        return build_module(composed(Path(folder), f"model={model}", *overrides), DIGITS)


def mnist() -> Source:
    """Return the source of ``data=mnist``, with its files in place."""
    with tempfile.TemporaryDirectory() as folder:
        source: Source = instantiate(composed(Path(folder), "data=mnist").data.source, _convert_="all")
    source.prepare()
    return source
