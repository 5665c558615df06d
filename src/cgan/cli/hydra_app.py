"""Run one command as a Hydra application."""

import importlib
import logging
import os
import sys
from contextlib import nullcontext
from typing import Any

import hydra
from hydra._internal.utils import get_args
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig

from cgan.cli.errors import one_line_errors, report, wants_traceback
from cgan.cli.folders import folders_kept_clean
from cgan.cli.overrides import check_additions, completed, explained
from cgan.cli.streams import lasting_output
from cgan.cluster import is_first_process, requeue_until_training
from cgan.config import CONF

log = logging.getLogger(__name__)
LOADING = "Loading PyTorch and Lightning, a few seconds"


def run(name: str, prefix: list[str]) -> None:
    """Compose the configuration ``name`` from ``sys.argv`` and run its task: once, or as Hydra's sweeper says.

    ``prefix`` is what stands before the arguments on the command line.
    """
    if name == "train":
        requeue_until_training()
    elif name == "evaluate" and is_first_process():
        print(LOADING, flush=True)  # its arguments are completed from the checkpoint, before Hydra sets logging up
    sys.argv[1:] = arguments = completed(name, sys.argv[1:])

    def job(cfg: DictConfig) -> Any:
        sys.argv[1:] = [*prefix, *arguments]  # Lightning starts the other processes of a run by the same arguments
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            return _job(name, cfg)  # an error passes to Hydra: the other jobs run, then the sweep fails
        with one_line_errors(), folders_kept_clean():  # before Hydra prints a line of its own
            return _job(name, cfg)

    if not wants_traceback():
        # Hydra then raises its own errors, which it otherwise prints over many lines. The second variable says that
        # the first one was not set by the user, also to processes that this one starts.
        os.environ |= {"HYDRA_FULL_ERROR": "1", "CGAN_ONE_LINE_ERRORS": "1"}
    try:
        with lasting_output() if name == "train" else nullcontext():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
    except (ConfigCompositionException, OverrideParseException) as error:
        raise explained(error, name, get_args(arguments)) from error


def _job(name: str, cfg: DictConfig) -> Any:
    check_additions(cfg)
    if name == "train" and is_first_process():
        log.info(LOADING)
    from cgan.hardware import use_hardware_well  # imports torch, which takes a second

    use_hardware_well()
    if name == "train":
        from cgan.tasks import sweep

        return sweep.job(cfg, report)
    return importlib.import_module(f"cgan.tasks.{name}").run(cfg)
