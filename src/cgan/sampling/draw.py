"""Drawing in batches."""

import torch
from torch import Tensor

from cgan.networks.base import Generator
from cgan.sampling.noise import latents
from cgan.spec import to_uint8


@torch.no_grad()
def draw(generator: Generator, labels: Tensor | list[int], *, seed: int = 0, truncation: float = 1.0) -> Tensor:
    """Draw one picture per wanted class.

    Args:
        generator: In eval mode, so that no picture depends on its neighbours.
        labels: (N,) classes; the k-th occurrence of a class is its picture k at this seed.
        seed: Names the pictures.
        truncation: Factor on the latents; less than 1 trades variety for neatness.

    Returns:
        (N, C, H, W) uint8 on the CPU.
    """
    wanted = torch.as_tensor(labels, dtype=torch.int64).cpu()
    return render(generator, latents(wanted, generator.z_dim, seed) * truncation, wanted)


@torch.no_grad()
def render(generator: Generator, z: Tensor, labels: Tensor, batch_size: int = 500) -> Tensor:
    """Draw given latents: (N, z_dim) and (N,) -> (N, C, H, W) uint8 on the CPU, ``batch_size`` at a time."""
    device = next(generator.parameters()).device
    return torch.cat(
        [
            to_uint8(generator(some_z.to(device), some_labels.to(device))).cpu()
            for some_z, some_labels in zip(z.split(batch_size), labels.split(batch_size), strict=True)
        ]
    )
