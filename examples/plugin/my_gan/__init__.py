"""Parts of a GAN of your own. ``plugins=[my_gan]`` imports this module, and with it every class that files name."""

from my_gan.networks import ShapeGenerator

__all__ = ["ShapeGenerator"]
