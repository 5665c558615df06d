"""A regulariser of the generator: neighbouring pixels should be alike (total variation, Rudin et al. 1992)."""

from torch import Tensor

from cgan.networks import Generator


class TotalVariation:
    """``weight`` times the mean difference of neighbouring pixels, down and across."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, generator: Generator, z: Tensor, labels: Tensor, fake: Tensor) -> Tensor:
        """Return what the generator minimises beside its loss, from the images (N, C, H, W) that it drew."""
        return self.weight * (fake.diff(dim=2).abs().mean() + fake.diff(dim=3).abs().mean())
