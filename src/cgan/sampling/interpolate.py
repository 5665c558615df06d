"""Interpolation between two images: latents along a great circle, classes by blending their embeddings."""

import torch
from torch import Tensor

from cgan.networks.base import Generator, StyleBased
from cgan.sampling.draw import BATCH, render
from cgan.sampling.styles import truncate
from cgan.spec import to_uint8


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Interpolate between two latents along a great circle (Shoemake 1985); the norm changes linearly.

    A straight line between two Gaussian latents passes nearer to the origin than any latent seen in training; a great
    circle does not (White 2016, arXiv:1609.04468). Where no single great circle exists (parallel or opposite latents,
    one at the origin), the interpolation is linear.

    Args:
        start: (D,).
        end: (D,).
        share: (N,) in [0, 1]: 0 is the start and 1 the end.

    Returns:
        (N, D).
    """
    share = share.unsqueeze(1)
    lengths = start.norm(), end.norm()
    angle = (start @ end / (lengths[0] * lengths[1])).clamp(-1, 1).acos()
    if not angle.sin() >= 1e-4:  # a latent of length 0 has no direction, and its angle is NaN
        return torch.lerp(start, end, share)
    from_start, from_end = ((1 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin()
    direction = from_start * (start / lengths[0]) + from_end * (end / lengths[1])
    return direction * torch.lerp(*lengths, share)


@torch.no_grad()
def blend(generator: Generator, z: Tensor, weights: Tensor) -> Tensor:
    """Draw mixtures of classes.

    Args:
        generator: In eval mode.
        z: (N, z_dim).
        weights: (N, K), one weight per class; each row is divided by its sum.

    Returns:
        (N, C, H, W) uint8 on the CPU.
    """
    weight = next(generator.parameters())
    embeddings = generator.embed(torch.arange(generator.num_classes, device=weight.device))
    shares = (weights / weights.sum(1, keepdim=True)).to(weight)
    parts = zip(z.to(weight).split(BATCH), (shares @ embeddings).split(BATCH), strict=True)
    return torch.cat([to_uint8(generator.synthesize(some, mixed)).cpu() for some, mixed in parts])


def morph(
    generator: Generator, z: tuple[Tensor, Tensor], labels: tuple[int, int], frames: int, truncation: float = 1.0
) -> Tensor:
    """Draw an interpolation between two images, both ends included: for a style-based generator between their styles.

    Args:
        generator: In eval mode.
        z: The latents of both ends, (z_dim,) each.
        labels: The classes of both ends.
        frames: Number of images, at least 2.
        truncation: See ``cgan.sampling.styles.truncate``.

    Returns:
        (frames, C, H, W) uint8 on the CPU.
    """
    share = torch.linspace(0, 1, frames, dtype=torch.float32, device="cpu")
    start, end = truncate(generator, torch.stack(z), torch.tensor(labels, device="cpu"), truncation)
    if isinstance(generator, StyleBased):
        styles = torch.lerp(start.cpu(), end.cpu(), share.view(-1, 1, 1))
        return render(generator, styles, torch.full((frames,), labels[0], device="cpu"))
    weights = torch.zeros(frames, generator.num_classes, dtype=torch.float32, device="cpu")
    weights[:, labels[0]] += 1 - share
    weights[:, labels[1]] += share
    return blend(generator, slerp(start, end, share), weights)
