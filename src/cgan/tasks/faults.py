"""Errors from outside the program, as one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from torch.distributed import DistNetworkError

from cgan.errors import CganError


@contextmanager
def clear_errors(cfg: DictConfig) -> Iterator[None]:
    """Turn a lack of memory, a port in use and a checkpoint of other networks into a CganError of one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_lack_of_memory(error):
            raise CganError(
                f"not enough memory with data.batch_size={cfg.data.batch_size} and "
                f"data.steps_per_batch={cfg.data.steps_per_batch}: lower these, or choose a smaller model"
            ) from error
        if isinstance(error, DistNetworkError):
            raise CganError(
                f"the processes cannot meet: {str(error).splitlines()[0]:.200}; the port may be in use: choose another "
                "with the variable MASTER_PORT, or leave it unset"
            ) from error
        if str(error).startswith("Error(s) in loading state_dict"):
            raise CganError(
                f"ckpt={cfg.ckpt}: its weights have other sizes than the networks of this configuration; leave out "
                "model=, model.generator and model.discriminator to go on as it was trained"
            ) from error
        raise


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on the CPU, torch raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
