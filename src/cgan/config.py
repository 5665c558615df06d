"""The configurations in `conf/`: where they lie, and how Python composes them as the command line does."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, flag_override, open_dict

_PACKAGED = Path(__file__).parent / "conf"
CONF = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "conf"
"""The folder of the configurations: inside an installed package, or at the top of a checkout."""


def compose(
    name: str, overrides: Sequence[str], folder: Path | None = None, config_dirs: Sequence[Path] = ()
) -> DictConfig:
    """Compose the configuration ``name`` for one run, as ``python NAME.py OVERRIDES`` does.

    ``HydraConfig`` is set as well: ``${hydra:runtime.output_dir}`` and ``hydra.runtime.choices`` have values.

    Args:
        name: ``train``, ``sample``, ``evaluate`` or ``export``.
        overrides: In Hydra's syntax.
        folder: The run folder; None keeps what the configuration says. It is not made.
        config_dirs: More folders with configurations, which are searched after :data:`CONF`.

    Raises:
        HydraException: An override has an error of syntax, or names what does not exist.
    """
    with initialized(name):
        cfg = hydra.compose(name, [*overrides, *search_path(config_dirs)], return_hydra_config=True)
    with flag_override(cfg.hydra, ["struct", "readonly"], [False, False]):
        cfg.hydra.mode = RunMode.RUN
        cfg.hydra.runtime.output_dir = str((folder or Path(cfg.hydra.run.dir)).absolute())
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


@contextmanager
def initialized(job_name: str) -> Iterator[GlobalHydra]:
    """Set Hydra up to read :data:`CONF`."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), job_name=job_name, version_base="1.3"):
        yield GlobalHydra.instance()


def search_path(config_dirs: Sequence[Path]) -> list[str]:
    """Return the override by which Hydra also reads ``config_dirs``; none of them, no override."""
    folders = ",".join(quoted(folder.absolute()) for folder in config_dirs)
    return [f"hydra.searchpath=[{folders}]"] if folders else []


def quoted(value: object) -> str:
    """Write a value for an override, in quotes unless it is a plain word or path: any letters may stand in it."""
    text = str(value)
    plain = re.fullmatch(r"[a-z/][\w./-]*", text, re.ASCII | re.IGNORECASE)
    if plain and text.lower() not in ("null", "true", "false", "inf", "nan"):
        return text
    return QuotedString(text, Quote.single).with_quotes()


def summary(path: Path) -> str:
    """Return the first line of a file's opening comment that is neither a directive nor a command."""
    lines = (line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#"))
    return next((line for line in lines if not line.startswith(("@package", "cgan ", "python "))), "")


def typed_keys() -> set[str]:
    """Return the keys of this job's overrides, those of a resumed run's former ones among them."""
    return {override.partition("=")[0].lstrip("+~") for override in HydraConfig.get().overrides.task}


def model_name(network: str, config: object) -> str:
    """Return the choice of ``model=`` that builds a generator, such as ``light_wide``; of none, the name of its class.

    Args:
        network: The name of the generator's class.
        config: Its constructor's arguments by name; anything else, in an untrusted file, is no choice's.
    """
    known = config if isinstance(config, dict) else {}
    for name, values in _generators().items():
        target = values["_target_"].rpartition(".")[2]
        if target == network and all(known.get(key) == value for key, value in values.items() if key != "_target_"):
            return name
    return network


@cache
def _generators() -> dict[str, dict[str, Any]]:
    """Return the choices of ``model.generator`` with all their values."""
    folder = CONF / "model" / "generator"

    def values(name: str) -> dict[str, Any]:
        own = yaml.safe_load((folder / f"{name}.yaml").read_text())
        bases = [base for base in own.pop("defaults", []) if base != "_self_"]
        return {key: value for base in bases for key, value in values(base).items()} | own

    return {path.stem: values(path.stem) for path in sorted(folder.glob("*.yaml"))}


def listed(value: Any) -> list[Any]:
    """Return a key's value as a list: one value, several, or none."""
    return list(value) if isinstance(value, ListConfig | list) else [] if value is None else [value]
