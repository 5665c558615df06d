"""The averaged generator: what is drawn from, evaluated and exported."""

import copy

import torch
from torch import Tensor, nn

from cgan.networks.base import Generator


class GeneratorEMA(nn.Module):
    """An exponential moving average of a generator, measured in images so that it survives a change of batch size.

    The half-life is ``min(half_life_images, ramp * images_seen)``: short at the start, so that the untrained weights
    are forgotten (Karras et al. 2020). Running statistics are averaged like weights: raw ones would not fit.

    Args:
        generator: The generator to follow.
        half_life_images: Images after which a weight counts half.
        ramp: Upper bound of the half-life as a share of the images seen so far.
    """

    def __init__(self, generator: Generator, half_life_images: float, ramp: float) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).requires_grad_(False).eval()
        self.half_life_images = half_life_images
        self.ramp = ramp
        self.follow(generator)

    def follow(self, generator: Generator) -> None:
        """Follow this generator from now on; to be called again after either was moved to a device.

        Walking through both networks at every step would cost more than averaging them.
        """
        self._averaged, self._followed = _floats(self.generator), _floats(generator)

    def train(self, mode: bool = True) -> "GeneratorEMA":
        """Stay in eval mode: with batch norm in training mode, an image would depend on the rest of its batch."""
        return super().train(False)

    @torch.no_grad()
    def update(self, new_images: int, images_seen: int) -> None:
        """Move towards the generator after ``new_images`` more images; ``images_seen`` counts them too."""
        half_life = min(self.half_life_images, self.ramp * images_seen)
        keep = 0.5 ** (new_images / half_life) if half_life > 0 else 0.0
        torch._foreach_lerp_(self._averaged, self._followed, 1 - keep)


def _floats(generator: Generator) -> list[Tensor]:
    """Return weights and running statistics in a fixed order; integer counters do not average."""
    return [tensor for tensor in (*generator.parameters(), *generator.buffers()) if tensor.is_floating_point()]
