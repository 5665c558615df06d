"""What is typed after a command: plain words for paths and classes, and help where a key or an option is misspelt."""

import os
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args, get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from cgan.cli.comments import keys
from cgan.cli.errors import error_message
from cgan.config import CONF, initialized, quoted, search_path
from cgan.errors import CganError, did_you_mean
from cgan.tasks.resume import evaluated_arguments, resumed_arguments

CLASSES = ("classes", "digits", "interpolate")
NAMES = ("names", "run_name", "license", "data_license", "data.background", "data.image", "data.label", "data.config")
PATHS = (
    "ckpt",
    "images",
    "images2",
    "features.weights",
    "runs",
    "out",
    "style",
    "data.root",
    "data.name",
    "data.source.root",
    "data.cache",
    "hydra.run.dir",
    "hydra.sweep.dir",
)
_SWEEP = re.compile(r"(choice|range|interval|glob|tag|sort|shuffle)\(.*\)")
_QUOTED = re.compile(r"'.*'|\".*\"")


def completed(name: str, arguments: Sequence[str]) -> list[str]:
    """Return what Hydra takes for a command: quoted words, with a run's own choices or a preset; then its options."""
    words = plain_words(_options_last(arguments))
    _refuse_no_option(words)
    if name == "evaluate":
        return evaluated_arguments(words)
    return with_preset(resumed_arguments(words)) if name == "train" else words


def _options_last(arguments: Sequence[str]) -> list[str]:
    """Put options (``--config-dir DIR``) behind the overrides, between which Hydra does not take them.

    Raises:
        CganError: There is no such option.
    """
    typed, unknown = get_args_parser().parse_known_intermixed_args(arguments)
    if unknown:
        key = unknown[0].lstrip("-").partition("=")[0]
        raise CganError(f"{unknown[0]}: there is no such option; a value is typed {key}=VALUE, and --help lists both")
    options = list(arguments)
    for override in typed.overrides:
        options.remove(override)
    return [*typed.overrides, *options]


def _refuse_no_option(arguments: list[str]) -> None:
    """Refuse a group without the name of an option: Hydra's own error does not say which group it is.

    Raises:
        CganError: The value is null, a number, true or false.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(get_args(arguments).overrides)
    except HydraException:  # the same error ends the command when Hydra reads it
        return
    for override in parsed:
        group, value = CONF / override.key_or_group, override.value()
        if group.is_dir() and not override.is_delete() and (value is None or isinstance(value, bool | int | float)):
            options = sorted(path.stem for path in group.glob("*.yaml"))
            raise CganError(f"{override.input_line}: expected the name of an option: {', '.join(options)}")


def plain_words(arguments: Sequence[str]) -> list[str]:
    r"""Quote for Hydra what is typed for a path, a class or a name, so that it is taken letter by letter.

    >>> plain_words(["classes=[1e3,日本]", "ckpt=~/a,b=c", "n=3"])
    ["classes=['1e3','日本']", "ckpt='/home/me/a,b=c'", 'n=3']

    A class list may stand without brackets (``classes=3,7``). ``null`` stays null but for classes. Sweeps (``-m``)
    are split at commas, so a path with a comma has to be quoted there; what is quoted or interpolated stays as it is.
    """
    sweep = bool({"-m", "--multirun"} & set(arguments))
    return [_plain_word(argument, sweep) for argument in arguments]


def _plain_word(argument: str, sweep: bool) -> str:
    key, equals, value = argument.partition("=")
    name = key.lstrip("+")
    listed = value.startswith("[") and value.endswith("]")
    if not equals or name not in (*CLASSES, *NAMES, *PATHS) or "${" in value or _SWEEP.fullmatch(value):
        return f"{key}{equals}{value}"
    if listed:
        return f"{key}=[{','.join(_word(name, word) for word in _split(value[1:-1]))}]"
    words = [_word(name, word) for word in _split(value)] if sweep or name in CLASSES else [_word(name, value)]
    return f"{key}={','.join(words)}" if sweep or len(words) == 1 else f"{key}=[{','.join(words)}]"


def _split(text: str) -> list[str]:
    """Split at commas that are not quoted."""
    return [word.strip() for word in re.findall(r"""(?:'[^']*'|"[^"]*"|[^,])+""", text)]


def _word(name: str, word: str) -> str:
    if _QUOTED.fullmatch(word) or (word in ("", "null") and name not in CLASSES):
        return word
    return quoted(os.path.expanduser(word) if name in PATHS else word)


def with_preset(overrides: list[str]) -> list[str]:
    """Add the preset that is named as the data set, unless a preset or a part of one is chosen.

    >>> with_preset(["data=folder", "data.root=photos"])
    ['experiment=folder', 'data=folder', 'data.root=photos']
    """
    typed = dict(override.split("=", 1) for override in overrides if "=" in override)
    preset = typed.get("data", "")
    if {"experiment", "model", "loss", "penalty", "optimizer"} & set(typed):
        return overrides
    return [f"experiment={preset}", *overrides] if (CONF / "experiment" / f"{preset}.yaml").is_file() else overrides


def check_additions(cfg: DictConfig) -> None:
    """Refuse an added key that nothing reads, and ``a.b=OPTION`` where the option is one of a group ``a/b``.

    What stands under a node with ``_target_`` is an argument of that class, which refuses it itself. An option of a
    group and a value that another one interpolates are read as well.
    """
    hydra = HydraConfig.get()
    text = OmegaConf.to_yaml(cfg)
    for override in OverridesParser.create().parse_overrides(list(hydra.overrides.task)):
        key = override.key_or_group
        if "." in key and (group := key.replace(".", "/")) in hydra.runtime.choices:
            raise CganError(f"{override.input_line}: an option of a group is typed {group}={override.value()}")
        read = key in hydra.runtime.choices or f"${{{key}}}" in text or _has_target(cfg, key)
        if not read and (override.is_add() or (override.is_force_add() and key not in _keys_without_forced())):
            raise _unknown(key, f"+{key}: nothing reads this key", cfg, hydra.runtime.choices)


def _keys_without_forced() -> list[str]:
    """Return the keys that there are without what is typed as ``++key=value``."""
    hydra, loader = HydraConfig.get(), GlobalHydra.instance().config_loader()
    overrides = [override for override in hydra.overrides.task if not override.startswith("++")]
    return all_keys(loader.load_configuration(hydra.job.config_name, [*overrides, *hydra.overrides.hydra], RunMode.RUN))


def _has_target(cfg: DictConfig, key: str) -> bool:
    """Whether ``key`` or a node above it is built from a class."""
    parts = key.split(".")
    nodes = (OmegaConf.select(cfg, ".".join(parts[:depth])) for depth in range(len(parts), 0, -1))
    return any(OmegaConf.is_dict(node) and "_target_" in node for node in nodes)


def explained(error: HydraException, name: str, typed: Namespace) -> CganError:
    """Turn Hydra's error about the configuration ``name`` into one line that names the nearest key or option."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = error.options or sorted(path.stem for path in (CONF / group).glob("*.yaml"))  # none for one in a list
        if group == "data" and Path(option).exists():
            return CganError(f"data={option}: pictures of your own are named by data=folder data.root={option}")
        if group and options:
            hint = did_you_mean(option, options)
            return CganError(f"{group}={option}: expected one of {', '.join(options)}{hint}")
    if isinstance(error, OverrideParseException):
        return CganError(
            f"{error.override}: expected KEY=VALUE; a VALUE with spaces or special characters stands in quotes of its "
            f"""own: 'KEY="VALUE"'"""
        )
    if ambiguous := re.search(r"Ambiguous value for argument '(.+?)=(.+)'$", str(error), re.MULTILINE):
        key, values = ambiguous.groups()
        return CganError(f"{key}={values}: a list is typed {key}=[{values}], and a run for each value needs -m")
    try:
        found = _misspelt_key(name, typed)
    except HydraException:  # another error beside it: a missing option, a file that cannot be read
        found = None
    return found or CganError(error_message(error) or str(error))


def _misspelt_key(name: str, typed: Namespace) -> CganError | None:
    """Return the error for the first typed key that the configuration, with the typed options of groups, lacks."""
    parsed = OverridesParser.create().parse_overrides(typed.overrides)
    extra = search_path([Path(typed.config_dir)] if typed.config_dir else [])
    with initialized(name) as hydra:
        load = partial(hydra.config_loader().load_configuration, typed.config_name or name, run_mode=RunMode.RUN)
        cfg = load(overrides=extra)
        groups = cfg.hydra.runtime.choices
        options = [one.input_line or "" for one in parsed if one.key_or_group in groups and not one.is_sweep_override()]
        cfg = load(overrides=[*options, *extra]) if options else cfg
    choices = cfg.hydra.runtime.choices
    known = [*all_keys(cfg), *choices]
    for entry in parsed:
        key = entry.key_or_group
        if not entry.is_add() and key not in known and not key.startswith("hydra"):
            return _unknown(key, f"{key}: there is no such key", cfg, choices)
    return None


USUAL = {"epochs": "trainer.max_epochs", "batch": "data.batch_size", "dataset": "data", "gpus": "trainer.devices"}
"""What keys of other projects are called here."""


def _unknown(key: str, said: str, cfg: DictConfig, choices: Mapping[str, str | None]) -> CganError:
    """Return the error that names what may be meant: another option of the key's group, or the most similar key.

    The keys that are named have a value, first one of the same last part: ``data.batch_size`` by ``batch_size``.
    """
    for group, chosen in choices.items():
        prefix = f"{group.replace('/', '.')}."
        files = sorted((CONF / group).glob("*.yaml")) if key.startswith(prefix) else []
        if options := [f"{group}={file.stem}" for file in files if key in {one.name for one in keys(file, prefix)}]:
            return CganError(f"{key}: {group}={chosen} has no such key; these have it: {', '.join(options)}")
    values = [name for name in all_keys(cfg) if name != key and not OmegaConf.is_dict(_selected(cfg, name))]
    usual = [USUAL[key]] if USUAL.get(key) in {*values, *choices} else []
    same_end = usual + [name for name in values if name.rpartition(".")[2] == key.rpartition(".")[2]]
    others = values if "." in key else [*values, *choices]
    hint = f"; did you mean {same_end[0]}?" if same_end else did_you_mean(key, others)
    return CganError(f"{said}{hint or '; --help lists them'}")


def _selected(cfg: DictConfig, name: str) -> Any:
    return OmegaConf.select(cfg, name, throw_on_resolution_failure=False)


def all_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    """Return the dotted names of all values and groups of values, without Hydra's own."""
    keys = []
    for name in cfg:
        if name == "hydra" and not prefix:
            continue
        key = f"{prefix}{name!s}"
        keys.append(key)
        node = cfg._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            keys += all_keys(node, f"{key}.")
    return keys
