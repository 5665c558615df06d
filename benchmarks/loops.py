"""The loops to compare with: the best plain PyTorch loop that we can write, and the one that tutorials show.

Both train the pairs of this project with binary cross-entropy and Adam, as ``train.py model=mlp`` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from cgan.data.sources import Split
from cgan.module import ConditionalGAN
from cgan.spec import to_float

ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}


class PlainLoop:
    """The reference: data in memory, fused Adam, one batch of fakes for both sides, one pass for real and fake images.

    Args:
        module: Holds the pair.
        split: The data, uint8.
        batch_size: Images per step.
        steps: Steps per block.
        average: Whether to keep the averaged generator, as this project's training does.
    """

    def __init__(
        self,
        module: ConditionalGAN,
        split: Split,
        *,
        batch_size: int,
        steps: int,
        average: bool = True,
    ) -> None:
        self.generator, self.discriminator = module.generator, module.discriminator
        self.g_weights: list[Tensor] = list(self.generator.parameters())
        self.average: list[Tensor] = [weight.detach().clone() for weight in self.g_weights] if average else []
        self.d_opt = torch.optim.Adam(self.discriminator.parameters(), fused=True, **ADAM)  # type: ignore[arg-type]
        self.g_opt = torch.optim.Adam(self.g_weights, fused=True, **ADAM)  # type: ignore[arg-type]
        self.steps = steps
        self.batches = self._batches(split, batch_size)

    def __call__(self) -> None:
        """Train one block."""
        for _ in range(self.steps):
            self.step(*next(self.batches))

    def step(self, real: Tensor, labels: Tensor) -> None:
        """Train both sides on one batch."""
        count = len(labels)
        fake = self.generator(torch.randn(count, self.generator.z_dim), labels)

        logits = self.discriminator(torch.cat([real, fake.detach()]), torch.cat([labels, labels]))
        d_loss = F.softplus(-logits[:count]).mean() + F.softplus(logits[count:]).mean()
        self.d_opt.zero_grad()
        d_loss.backward()
        self.d_opt.step()

        g_loss = F.softplus(-self.discriminator(fake, labels)).mean()
        self.g_opt.zero_grad()
        g_loss.backward(inputs=self.g_weights)  # spares the discriminator's weight gradients
        self.g_opt.step()
        if self.average:
            torch._foreach_lerp_(self.average, self.g_weights, 0.01)

    def _batches(self, split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for index in torch.randperm(len(split.labels)).split(batch_size):
                if len(index) == batch_size:
                    yield to_float(split.images[index]), split.labels[index]


class TutorialLoop:
    """What most notebooks show: a torchvision data set through a loader, default Adam, fresh fakes for each side.

    It uses the machine as torch does unasked and drops out with ``nn.Dropout``, for tutorials have neither
    :func:`cgan.hardware.use_hardware_well` nor :class:`cgan.networks.dropout.Dropout`.

    Args:
        module: Holds the pair.
        root: The folder with MNIST's files.
        batch_size: Images per step.
        steps: Steps per block.
    """

    def __init__(self, module: ConditionalGAN, root: Path, *, batch_size: int, steps: int) -> None:
        self.generator, self.discriminator = module.generator, _with_usual_dropout(module.discriminator)
        self.d_opt = torch.optim.Adam(self.discriminator.parameters(), **ADAM)  # type: ignore[arg-type]
        self.g_opt = torch.optim.Adam(self.generator.parameters(), **ADAM)  # type: ignore[arg-type]
        self.criterion = nn.BCEWithLogitsLoss()
        to_tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
        dataset = torchvision.datasets.MNIST(root, train=True, transform=to_tensor, download=True)
        self.loader = DataLoader(dataset, batch_size, shuffle=True, num_workers=0, drop_last=True)
        self.batches = self._forever()
        self.steps = steps
        self.history: list[tuple[float, float]] = []

    def __call__(self) -> None:
        """Train one block."""
        with torch_unasked():
            for _ in range(self.steps):
                self.step(*next(self.batches))

    def step(self, real: Tensor, labels: Tensor) -> None:
        """Train both sides on one batch."""
        valid, invalid = torch.ones(len(labels)), torch.zeros(len(labels))

        self.d_opt.zero_grad()
        fake = self.generator(torch.randn(len(labels), self.generator.z_dim), labels)
        real_loss = self.criterion(self.discriminator(real, labels), valid)
        fake_loss = self.criterion(self.discriminator(fake.detach(), labels), invalid)
        d_loss = real_loss + fake_loss
        d_loss.backward()
        self.d_opt.step()

        self.g_opt.zero_grad()
        fake = self.generator(torch.randn(len(labels), self.generator.z_dim), labels)
        g_loss = self.criterion(self.discriminator(fake, labels), valid)
        g_loss.backward()
        self.g_opt.step()
        self.history.append((d_loss.item(), g_loss.item()))

    def _forever(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader


@contextmanager
def torch_unasked() -> Iterator[None]:
    """Undo for a while what :func:`cgan.hardware.use_fast_products` sets."""
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    ours, products.fp32_precision = products.fp32_precision, "none"
    yield
    products.fp32_precision = ours


def _with_usual_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, nn.Dropout(child.p))
    return network
