"""What an update of one of two networks needs: the other at rest, gradients that stay, and what is kept of a step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

OptimizerFactory = Callable[..., torch.optim.Optimizer]
Statistics = dict[str, Tensor]
"""Scalars to log, by name."""


@contextmanager
def frozen(optimizer: LightningOptimizer) -> Iterator[None]:
    """Spare the gradients of the network that is not learning; Lightning's own switch walks through both networks."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def chosen_options(factory: OptimizerFactory) -> dict[str, Any]:
    """Return the options that a partial call sets; others may be an optimiser's own counters."""
    return factory.keywords if isinstance(factory, partial) else {}


def allocate_missing(optimizer: LightningOptimizer) -> None:
    """Give each weight a gradient of its own, 0, where it has none: a backward pass adds to it."""
    for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)


def kept(stats: Statistics) -> Statistics:
    """Copy scalars: the next CUDA graph writes over these."""
    return {name: value.detach().clone() for name, value in stats.items()}


def gradient_norms(**networks: nn.Module) -> Statistics:
    """Return the norm of the gradients that the last backward pass left in each network, where it left any."""
    gradients = {name: [weight.grad for weight in network.parameters()] for name, network in networks.items()}
    found = {name: [grad for grad in grads if grad is not None] for name, grads in gradients.items()}
    return {name: nn.utils.get_total_norm(grads) for name, grads in found.items() if grads}
