"""Class-conditional GANs: train, watch, measure and use them.

>>> from cgan import draw, load_generator
>>> generator = load_generator("pretrained")
>>> draw(generator, [7, 7, 3], seed=0).shape
torch.Size([3, 1, 28, 28])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cgan.checkpoint import load_generator, save_generator
    from cgan.errors import CganError
    from cgan.plugins import register
    from cgan.runs import evaluate, train
    from cgan.sampling.draw import draw
    from cgan.sampling.grids import image_grid

__all__ = ["CganError", "draw", "evaluate", "image_grid", "load_generator", "register", "save_generator", "train"]
_MODULES = {
    "CganError": "cgan.errors",
    "draw": "cgan.sampling.draw",
    "evaluate": "cgan.runs",
    "image_grid": "cgan.sampling.grids",
    "load_generator": "cgan.checkpoint",
    "register": "cgan.plugins",
    "save_generator": "cgan.checkpoint",
    "train": "cgan.runs",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `draw` imports no trainer, and `import cgan` alone not even torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'cgan' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
