"""Generators and discriminators, a pair per file.

``GENERATORS`` is the table by which checkpoints are rebuilt: a class named in a file is looked up here and never
imported.
"""

from cgan.networks.base import Discriminator, Generator
from cgan.networks.dcgan import DCGANGenerator
from cgan.networks.light import LightGenerator
from cgan.networks.mlp import MLPGenerator
from cgan.networks.r3 import R3Generator
from cgan.networks.style import StyleGenerator

GENERATORS: dict[str, type[Generator]] = {
    cls.__name__: cls for cls in (MLPGenerator, DCGANGenerator, LightGenerator, R3Generator, StyleGenerator)
}

__all__ = ["GENERATORS", "Discriminator", "Generator"]
