"""What goes wrong outside the program, in words that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from torch.distributed import DistNetworkError

from cgan.errors import CganError


@contextmanager
def in_plain_words(cfg: DictConfig) -> Iterator[None]:
    """Turn a lack of memory and a port in use into one line.

    Raises:
        CganError: Training ran out of memory, or its processes could not meet.
    """
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
        raise


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on the CPU, torch raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
