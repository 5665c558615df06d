"""Two images through both networks before a training, so that a part of the wrong shape is named at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.losses.adversarial import AdversarialLoss
from cgan.networks.base import Discriminator, Generator
from cgan.spec import DataSpec

COUNT = 2


def refuse_misshapen(generator: Generator, discriminator: Discriminator, loss: AdversarialLoss, spec: DataSpec) -> None:
    """Draw two images and discriminate them, as after training: no weight, no buffer and no random stream changes.

    Raises:
        CganError: An image, a logit or a loss has another shape than the training needs.
    """
    device = next(generator.parameters()).device
    labels = torch.zeros(COUNT, dtype=torch.int64, device=device)
    with torch.no_grad(), torch.random.fork_rng([]), _evaluating(generator, discriminator):
        images = generator(torch.randn(COUNT, generator.z_dim, device=device), labels)
        _refuse_other("draws images", generator, images, (COUNT, *spec.img_shape), "images as those of the data")
        logits = discriminator(images, labels)
        _refuse_other("returns logits", discriminator, logits, (COUNT,), "one number per image")
        for side, value in (("d_loss", loss.d_loss(logits, logits)), ("g_loss", loss.g_loss(logits, logits))):
            _refuse_other(f"returns from {side} a tensor", loss, value, (), "a scalar, such as the mean over images")


def _refuse_other(does: str, part: object, found: Tensor, expected: tuple[int, ...], words: str) -> None:
    if found.shape != expected:
        shape = tuple(found.shape)
        raise CganError(
            f"{type(part).__name__} {does} of shape {shape} for {COUNT} latents: expected {expected}, {words}"
        )


@contextmanager
def _evaluating(*networks: nn.Module) -> Iterator[None]:
    """Let networks evaluate for a while; then each of their modules does what it did before."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
