"""Errors from outside the program, as one line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch.distributed import DistNetworkError

from cgan.checkpoint import read_description
from cgan.config import CONF, model_name
from cgan.errors import CganError
from cgan.spec import DataSpec


@contextmanager
def clear_errors(cfg: DictConfig, checkpoint: str | Path | None) -> Iterator[None]:
    """Turn a lack of memory, a port in use and a ``checkpoint`` of other networks into a CganError of one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if _is_lack_of_memory(error):
            raise CganError(
                f"not enough memory with data.batch_size={cfg.data.get('batch_size')} and "
                f"data.steps_per_batch={cfg.data.get('steps_per_batch')}: lower these, or choose a smaller model"
            ) from error
        if isinstance(error, DistNetworkError):
            raise CganError(
                f"the processes cannot meet: {str(error).splitlines()[0]:.200}; the port may be in use: choose another "
                "with the variable MASTER_PORT, or leave it unset"
            ) from error
        if checkpoint and str(error).startswith("Error(s) in loading state_dict"):
            raise CganError(
                f"ckpt={checkpoint}: its weights have other sizes than the networks of this configuration; "
                f"{_as_trained(checkpoint)}"
            ) from error
        raise


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; on the CPU, torch raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def _as_trained(checkpoint: str | Path) -> str:
    """Say how to go on with the networks of a checkpoint: a run's overrides are known, a file alone names its model."""
    path = Path(checkpoint)
    if (path.parent.parent / ".hydra" / "overrides.yaml").is_file():
        return "leave out experiment=, model= and data= to go on as it was trained"
    described = read_description(path)
    model, data = model_name(described["network"], described["config"]), DataSpec.from_dict(described["spec"]).name
    if not (CONF / "model" / f"{model}.yaml").is_file():
        return f"type the model=, model.generator and model.discriminator that it was trained with, on {data}"
    return f"type model={model}, which it was trained with, on {data}"
