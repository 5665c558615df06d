"""The networks and the data under test, built as `train.py` builds them."""

import torch
from hydra.utils import instantiate

from cgan.config import CONF, compose
from cgan.data.sources import Source, Split, SplitName
from cgan.module import ConditionalGAN
from cgan.spec import DataSpec
from cgan.tasks.build import build_module

DIGITS = DataSpec("mnist", (1, 28, 28), tuple("0123456789"))
MODELS = [path.stem for path in sorted((CONF / "model").glob("*.yaml")) if not path.stem.endswith("_full")]


class Noise:
    """Noise in ten classes, where only time and memory count.

    Args:
        img_shape: (C, H, W).
        count: Images of each split.
    """

    def __init__(self, img_shape: tuple[int, int, int], count: int) -> None:
        self.spec = DataSpec("noise", img_shape, DIGITS.class_names)
        self.count = count

    def prepare(self) -> None:
        """Do nothing: there are no files."""

    def load(self, split: SplitName) -> Split:
        """Draw the images of a split."""
        images = torch.randint(0, 256, (self.count, *self.spec.img_shape), dtype=torch.uint8)
        return Split(images, torch.arange(self.count) % 10)


def fresh_pair(model: str, *overrides: str, spec: DataSpec = DIGITS) -> ConditionalGAN:
    """Build a module with untrained networks; its ``generator`` and ``discriminator`` are what loops train."""
    return build_module(compose("train", [f"model={model}", *overrides]), spec)


def mnist() -> Source:
    """Return the source of ``data=mnist``, with its files in place."""
    source: Source = instantiate(compose("train", ["data=mnist"]).data.source, _convert_="all")
    source.prepare()
    return source
