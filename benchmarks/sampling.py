"""How much does drawing add to the generator's own forward pass? `python benchmarks/sampling.py`."""

import torch

from cgan.networks import Generator
from cgan.sampling.draw import draw
from cgan.sampling.noise import latents
from common import Row, interleave, keep, row, speed_ratio
from pairs import fresh_pair

BATCHES = (1, 25, 1000, 10000)


def main(rounds: int = 20) -> None:
    """Draw with the MLP at each batch size; ``rounds`` is the number of draws."""
    generator = fresh_pair("mlp").generator.eval().requires_grad_(False)
    keep("sampling", [entry for count in BATCHES for entry in measure(generator, count, rounds)])


@torch.no_grad()
def measure(generator: Generator, count: int, rounds: int) -> list[Row]:
    """Time ``draw`` (latents, forward pass, uint8) against the forward pass alone, both for ``count`` pictures."""
    labels = torch.arange(count) % 10
    z = latents(labels, generator.z_dim, seed=0)
    contenders = {"draw": lambda: draw(generator, labels), "forward": lambda: generator(z, labels)}
    seconds = interleave(contenders, rounds, warm_up=3)
    target = {"at_least": 0.8} if count == 1000 else {}
    return [
        speed_ratio(f"mlp: draw over the forward pass, batch {count}", seconds["draw"], seconds["forward"], **target),
        row(f"mlp: draw, batch {count}", [count / spent for spent in seconds["draw"]], "images/s"),
    ]


if __name__ == "__main__":
    main()
