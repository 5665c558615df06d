"""Styles: what a style-based generator makes of latents before it draws; they can be truncated and mixed.

Coarse layers decide on the shape, fine ones on strokes and colours (Karras et al. 2019, section 3).
"""

import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.networks.base import Generator, StyleBased


@torch.no_grad()
def to_styles(generator: StyleBased, z: Tensor, labels: Tensor) -> Tensor:
    """Map latents of given classes to styles: (N, z_dim) and (N,) -> (N, L, W), on the generator's device."""
    return generator.map(z.to(generator.mean_w), generator.embed(labels.to(generator.mean_w.device)))


@torch.no_grad()
def truncate(generator: Generator, z: Tensor, labels: Tensor, truncation: float) -> Tensor:
    """Make latents ordinary, so that images get neater and less varied; 1 leaves them as they are.

    The styles of a style-based generator move towards the mean style of their class (Karras et al. 2019, appendix B),
    other latents towards 0.

    Args:
        generator: In eval mode.
        z: (N, z_dim).
        labels: (N,).
        truncation: The share of the distance that is left.

    Returns:
        What ``cgan.sampling.draw.render`` draws: (N, z_dim), or styles (N, L, W).
    """
    if not isinstance(generator, StyleBased):
        return z * truncation
    mean = class_means(generator)[labels.to(generator.mean_w.device)].unsqueeze(1)
    return torch.lerp(mean, to_styles(generator, z, labels), truncation)


def class_means(generator: StyleBased) -> Tensor:
    """Return the mean style of each class, (K, W); that of all classes for one of which training had no image."""
    means = generator.mean_w
    seen = means.any(1, keepdim=True)
    return torch.where(seen, means, means.sum(0) / seen.sum().clamp(min=1))


def mix(
    generator: Generator,
    coarse: Tensor,
    fine: Tensor,
    labels: Tensor,
    crossover: int | None = None,
    truncation: float = 1.0,
) -> Tensor:
    """Take the styles of the coarse layers from one latent and those of the fine layers from another.

    Args:
        generator: A style-based one, in eval mode.
        coarse: (N, z_dim) latents.
        fine: (N, z_dim) latents.
        labels: (N,) classes, of both.
        crossover: The first fine layer, from 1 to L - 1; None: the middle one.
        truncation: See ``truncate``.

    Returns:
        (N, L, W) styles, which ``cgan.sampling.draw.render`` draws.

    Raises:
        CganError: The generator has no styles, or not this layer.
    """
    if not isinstance(generator, StyleBased):
        raise CganError(f"mix: {type(generator).__name__} has no styles to mix; train one with model=style")
    layers = generator.style_layers
    crossover = layers // 2 if crossover is None else crossover
    if type(crossover) is not int or not 0 < crossover < layers:
        raise CganError(f"crossover={crossover}: expected the first fine layer, from 1 to {layers - 1}")
    first, second = (truncate(generator, z, labels, truncation) for z in (coarse, fine))
    return torch.cat([first[:, :crossover], second[:, crossover:]], dim=1)
