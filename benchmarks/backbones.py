"""What does a training image cost, by backbone and size of image? `python benchmarks/backbones.py`."""

import time

import torch
from torch import Tensor, nn

from cgan.losses.penalties import Batch
from cgan.module import ConditionalGAN
from cgan.spec import DataSpec
from common import Row, keep, row
from pairs import MODELS, fresh_pair

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 128, 128)]
# The relativistic loss with both penalties, as the presets train; dropout does not go with them.
OBJECTIVE = ["loss=relativistic", "penalty=r1r2", "optimizer=adam_no_momentum"]
DROPOUT = ["model.discriminator.dropout=0"]
BATCH_SIZE = 16


def main(rounds: int = 3) -> None:
    """Measure every pair of networks at every size; ``rounds`` is the number of training steps that count."""
    rows: list[Row] = []
    for model in MODELS:
        rows += [cost(model, shape, rounds) for shape in SHAPES]
        keep("backbones", rows)  # long: what is measured is kept


def cost(model: str, shape: tuple[int, int, int], rounds: int) -> Row:
    """Time training steps of one pair by the processor's clock."""
    spec = DataSpec("noise", shape, tuple("0123456789"))
    pair = fresh_pair(model, *OBJECTIVE, *(DROPOUT if model in ("dcgan", "mlp") else []), spec=spec)
    step(pair)  # torch prepares its kernels
    rates = []
    for _ in range(rounds):
        start = time.process_time()
        step(pair)
        rates.append(BATCH_SIZE / (time.process_time() - start))
    name = "x".join(map(str, shape))
    return row(
        f"{model}, {name}; weights {millions(pair.generator)} + {millions(pair.discriminator)}", rates, "images/s"
    )


def step(pair: ConditionalGAN) -> None:
    """Train both sides once, on noise."""
    real: Tensor = torch.rand(BATCH_SIZE, *pair.spec.img_shape) * 2 - 1
    labels = torch.arange(BATCH_SIZE) % 10
    z = torch.randn(BATCH_SIZE, pair.generator.z_dim)
    fake = pair.generator(z, labels)
    pair.d_objective(Batch(real, labels, fake.detach(), labels), torch.tensor(1.0))[0].backward()
    g_loss = pair.g_objective(Batch(real, labels, fake, labels), z)[0]
    g_loss.backward(inputs=list(pair.generator.parameters()))


def millions(network: nn.Module) -> str:
    """Write the number of a network's weights."""
    return f"{sum(weight.numel() for weight in network.parameters()) / 1e6:.2f} M"


if __name__ == "__main__":
    main()
