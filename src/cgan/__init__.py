"""Class-conditional GANs: train, watch, measure and use them.

>>> from cgan import draw, load_generator
>>> generator = load_generator("pretrained")
>>> draw(generator, [7, 7, 3], seed=0).shape
torch.Size([3, 1, 28, 28])
"""

from cgan.checkpoint import load_generator, save_generator
from cgan.errors import CganError
from cgan.sampling.draw import draw

__all__ = ["CganError", "draw", "load_generator", "save_generator"]
