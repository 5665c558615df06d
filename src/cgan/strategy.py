"""Many devices: one process each, gradients averaged after every backward pass."""

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor


class AveragedGradients(DDPStrategy):
    """Data parallelism for two networks that learn in turns.

    DistributedDataParallel waits for the gradients of every parameter, but each backward pass of a GAN reaches one
    network only. It can search the graph for parameters that were not reached, and then still sends zeros for them.
    Here, after each backward pass, the gradients of the network that is learning go into one buffer, which is averaged
    over all processes: no search, and no more bytes than the network has weights.
    """

    def configure_ddp(self) -> None:
        """Start from the weights of rank 0, without a wrapper around the module."""
        assert self.lightning_module is not None
        _take_from_rank_0([*self.lightning_module.parameters(), *self.lightning_module.buffers()])

    def post_backward(self, closure_loss: Tensor) -> None:
        """Average the gradients of the network that is learning; the other one's parameters are switched off."""
        assert self.lightning_module is not None
        gradients = [
            weight.grad
            for weight in self.lightning_module.parameters()
            if weight.requires_grad and weight.grad is not None
        ]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        _spread(flat.div_(self.world_size), gradients)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Give all ranks the running statistics of rank 0 first, as DistributedDataParallel does."""
        assert self.lightning_module is not None
        _take_from_rank_0(list(self.lightning_module.buffers()))
        return super().training_step(*args, **kwargs)


def _take_from_rank_0(tensors: list[Tensor]) -> None:
    """Copy floating-point tensors from rank 0 to all; integer counters are the same everywhere."""
    floats = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
    if floats:
        flat = torch.cat([tensor.flatten() for tensor in floats])
        dist.broadcast(flat, src=0)
        _spread(flat, floats)


def _spread(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy one flat buffer into tensors of the same total size, in order."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])
