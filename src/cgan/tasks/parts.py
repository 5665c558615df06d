"""Whether the parts of a configuration fit: what a YAML lacks is said before anything is built."""

from collections.abc import Collection
from inspect import Parameter, signature
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf, open_dict

from cgan.config import CONF, typed_keys
from cgan.errors import CganError

OPTIONAL = ("loss", "penalty", "regulariser", "augment", "model/generator", "model/discriminator")
"""Groups of one class, or of none."""
NEEDED = ("schedule.lr", "schedule.penalty", "data.source")
SEVERAL = ("callbacks", "logger", "metrics")
"""Groups of classes under keys of their own."""
LINE = "a line `_target_: package.module.Class`"


def drop_values_of_another(cfg: DictConfig) -> None:
    """Drop what a preset set of a penalty or of callbacks that are not chosen; what is typed is kept, and refused."""
    typed = typed_keys()
    known = {path.stem for path in (CONF / "callbacks").glob("*.yaml")}  # of others, a user's own, a class is missing
    unchosen = [name for name, entry in (cfg.callbacks or {}).items() if entry and not _has_class(entry)]
    with open_dict(cfg):
        for name in known.intersection(unchosen):
            if not any(word.startswith(f"callbacks.{name}") for word in typed):
                del cfg.callbacks[name]
    _drop_of_penalty(cfg, typed)


def _drop_of_penalty(cfg: DictConfig, typed: Collection[str]) -> None:
    """Drop values of arguments that the chosen penalty has not, or all where none is chosen."""
    penalty = cfg.penalty
    try:
        known = signature(get_object(penalty._target_)).parameters if _has_class(penalty) else {}
    except (ImportError, AttributeError, TypeError, ValueError):  # building it says what is wrong
        return
    if any(one.kind is Parameter.VAR_KEYWORD for one in known.values()):
        return
    with open_dict(cfg):
        for key in [str(key) for key in penalty or {}]:
            if key not in known and not key.startswith("_") and f"penalty.{key}" not in typed:  # _target_, _convert_
                del penalty[key]


def refuse_without_class(cfg: DictConfig) -> None:
    """Refuse a YAML that names no class where one is needed, or where the choice would do nothing.

    Raises:
        CganError: With the key, and what its YAML lacks.
    """
    chosen = HydraConfig.get().runtime.choices
    for group in OPTIONAL:
        node = OmegaConf.select(cfg, group.replace("/", "."))
        if node and chosen.get(group) not in (None, "none") and not _has_class(node):
            raise CganError(f"{group}={chosen.get(group)}: its YAML lacks {LINE}")
    for key in NEEDED:
        group = key.partition(".")[0]
        if group in cfg and not _has_class(OmegaConf.select(cfg, key)):
            of = " (a schedule has lr and penalty: `defaults: [constant, _self_]` gives both)" * (group == "schedule")
            raise CganError(f"{group}={chosen.get(group)}: its YAML lacks {key} with {LINE}{of}")
    for group in SEVERAL:
        for name, node in (OmegaConf.select(cfg, group) or {}).items():
            if node is not None and not _has_class(node):
                raise CganError(f"{group}.{name}: expected a part under a key of its own, `my_part:`, with {LINE}")


def _has_class(node: Any) -> bool:
    return isinstance(node, DictConfig) and "_target_" in node
