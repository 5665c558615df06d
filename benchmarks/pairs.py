"""The networks and the data under test, built as `train.py` builds them."""

from hydra.utils import instantiate

from cgan.config import compose
from cgan.data.sources import Source
from cgan.module import ConditionalGAN
from cgan.spec import DataSpec
from cgan.tasks.train import build_module

DIGITS = DataSpec("mnist", (1, 28, 28), tuple("0123456789"))


def fresh_pair(model: str, *overrides: str, spec: DataSpec = DIGITS) -> ConditionalGAN:
    """Build a module with untrained networks; its ``generator`` and ``discriminator`` are what loops train."""
    return build_module(compose("train", [f"model={model}", *overrides]), spec)


def mnist() -> Source:
    """Return the source of ``data=mnist``, with its files in place."""
    source: Source = instantiate(compose("train", ["data=mnist"]).data.source, _convert_="all")
    source.prepare()
    return source
