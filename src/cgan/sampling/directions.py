"""Directions in latent space that change slant, thickness or width of the strokes, found by linear regression."""

import torch
from torch import Tensor

from cgan.networks.base import Generator
from cgan.sampling.draw import render
from cgan.seeding import torch_stream

PROPERTIES = ("slant", "thickness", "width")
_SAMPLES = 2000


def measure(images: Tensor) -> Tensor:
    """Measure slant, thickness and width of the ink of each image.

    Slant is the horizontal shear of the ink, ``-cov(x, y) / var(y)``: positive leans to the right, as in italics.
    Thickness is that of a stroke, in pixels: twice the ink's area over the length of its outline (total variation).
    Width is the standard deviation of the ink along x, in pixels, measured after the slant is taken away, so that
    leaning is not mistaken for width.

    Args:
        images: (N, C, H, W) uint8, bright ink on black.

    Returns:
        (N, 3) float32, in the order of :data:`PROPERTIES`.
    """
    ink = images.float().mean(1) / 255
    mass = ink.sum((1, 2)).clamp_min(1e-6)
    y = torch.arange(ink.shape[1], dtype=torch.float32, device=ink.device).view(1, -1, 1)
    x = torch.arange(ink.shape[2], dtype=torch.float32, device=ink.device).view(1, 1, -1)

    def mean(values: Tensor) -> Tensor:
        return (ink * values).sum((1, 2)) / mass

    dx, dy = x - mean(x).view(-1, 1, 1), y - mean(y).view(-1, 1, 1)
    shear = mean(dx * dy) / mean(dy * dy).clamp_min(1e-6)
    upright = dx - shear.view(-1, 1, 1) * dy
    edge_y, edge_x = ink.diff(dim=1)[:, :, :-1], ink.diff(dim=2)[:, :-1]
    outline = (edge_x.square() + edge_y.square()).sqrt().sum((1, 2)).clamp_min(1e-6)
    return torch.stack([-shear, 2 * mass / outline, mean(upright * upright).sqrt()], dim=1)


def find_directions(generator: Generator, seed: int = 0) -> dict[str, Tensor]:
    """Regress the properties on the latent, over images of all classes, and return a direction for each.

    The mean of each class is subtracted first, since a 1 is narrower than an 8 whatever the latent. Each direction is
    a column of the pseudo-inverse of the regression coefficients, so that it leaves the other two properties unchanged.

    Args:
        generator: In eval mode.
        seed: Of the latents.

    Returns:
        By property, a unit vector (z_dim,) on the CPU: adding it to a latent raises the property.
    """
    z = torch.randn(_SAMPLES, generator.z_dim, generator=torch_stream(seed), dtype=torch.float32, device="cpu")
    labels = torch.arange(_SAMPLES, device="cpu") % generator.num_classes
    values = measure(render(generator, z, labels))
    for label in range(generator.num_classes):
        values[labels == label] -= values[labels == label].mean(0)
    values /= values.std(0).clamp_min(1e-6)
    coefficients = torch.linalg.lstsq(z, values).solution
    directions = torch.linalg.pinv(coefficients)
    return dict(zip(PROPERTIES, directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-12), strict=True))
