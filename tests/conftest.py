"""Shared by all tests: real configurations composed for a temporary run folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from cgan.tasks.door import CONF

Compose = Callable[..., DictConfig]

# Real digits and real training, small enough for a test: 400 of the carried MNIST digits.
_TINY = [
    "data=mnist5k",
    "data.source.test_per_class=460",
    "data.batch_size=32",
    "data.steps_per_batch=2",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=1",
]
TINY = [*_TINY, "quality.n=100"]
TINY_UNJUDGED = [*_TINY, "quality=none"]


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """Compose a configuration of `conf/` as Hydra would, with its run folder at `tmp_path`."""

    def compose_with(name: str, *overrides: str, folder: Path = tmp_path) -> DictConfig:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose(
                name, [*overrides, f"hydra.runtime.output_dir={folder}", "hydra.mode=RUN"], return_hydra_config=True
            )
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    return compose_with


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors are faster on one thread, and tests run side by side."""
    torch.set_num_threads(1)
