"""Two images through both networks before a training, so that a part of the wrong shape is named at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from cgan.errors import CganError
from cgan.losses.adversarial import AdversarialLoss
from cgan.losses.regularisers import Regulariser
from cgan.networks.base import Discriminator, Generator
from cgan.spec import DataSpec

COUNT = 2


def refuse_misshapen(
    generator: Generator,
    discriminator: Discriminator,
    loss: AdversarialLoss,
    regulariser: Regulariser | None,
    spec: DataSpec,
) -> None:
    """Draw two images and discriminate them, as after training: no weight, no buffer and no random stream changes.

    Raises:
        CganError: An image, a logit, a loss or a regulariser has another shape than the training needs, or the
            generator draws otherwise in parts than at once.
    """
    device = next(generator.parameters()).device
    labels = torch.zeros(COUNT, dtype=torch.int64, device=device)
    with torch.no_grad(), torch.random.fork_rng([]), _evaluating(generator, discriminator):
        z = torch.randn(COUNT, generator.z_dim, device=device)
        torch.default_generator.manual_seed(0)  # of noise that a generator may add, here and below; no GPU's
        images = generator(z, labels)
        _refuse_other("draws images", generator, images, (COUNT, *spec.img_shape), "images as those of the data")
        torch.default_generator.manual_seed(0)
        if not torch.allclose(images, generator.synthesize(z, generator.embed(labels)), atol=1e-3):
            raise CganError(
                f"{type(generator).__name__}: forward(z, labels) is not synthesize(z, embed(labels)), which morphs and "
                "exports call; override synthesize or embed in place of forward"
            )
        logits = discriminator(images, labels)
        _refuse_other("returns logits", discriminator, logits, (COUNT,), "one number per image")
        for side, value in (("d_loss", loss.d_loss(logits, logits)), ("g_loss", loss.g_loss(logits, logits))):
            _refuse_other(f"returns from {side} a tensor", loss, value, (), "a scalar, such as the mean over images")
        if regulariser is not None:
            with torch.enable_grad():
                value = regulariser(generator, z, labels, generator(z, labels))
            if not isinstance(value, Tensor):
                raise CganError(
                    f"{type(regulariser).__name__} returns {type(value).__name__}: expected a scalar tensor"
                )
            _refuse_other("returns a tensor", regulariser, value, (), "a scalar")


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
