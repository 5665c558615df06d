"""From the configuration of a data set to the data set."""

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from cgan.data.grouped import Grouped
from cgan.data.sources import Source
from cgan.data.unlabelled import Unlabelled
from cgan.errors import CganError

TEXTS = ("root", "name")
OF_SOURCE = {
    "root": (str, "a path"),
    "class_names": (ListConfig, "a list of names"),
    "digits": (DictConfig, "a source"),
}
SWITCHES = ("conditional", "flip", "balance", "skip_unreadable")


def build_source(data: DictConfig) -> Source:
    """Build the data set of a configuration, with its labels, without, or with groups of alike images in their place.

    Raises:
        CganError: A key has no value, or not one of its kind.
    """
    for key in map(str, data):
        if OmegaConf.is_missing(data, key):
            raise CganError(f"data.{key}: it has no value; add data.{key}=...")
        if key in SWITCHES and not isinstance(data[key], bool):
            raise CganError(f"data.{key}={data[key]}: expected true or false")
        if key in TEXTS and not isinstance(data[key], str):
            raise CganError(f"data.{key}={data[key]}: expected a path or a name")
    if "_target_" not in (data.get("source") or {}):
        raise CganError("data.source: expected a line `_target_: package.module.Class` in the data set's YAML")
    for key, (kind, words) in OF_SOURCE.items():
        if key in data.source and not isinstance(data.source[key], kind):
            raise CganError(f"data.source.{key}={data.source[key]}: expected {words}")
    source: Source = instantiate(data.source, _convert_="all")
    if missing := [name for name in ("spec", "prepare", "load") if not hasattr(source, name)]:
        raise CganError(f"data.source: {type(source).__name__} has no {missing[0]}; see cgan.data.sources.Source")
    if data.get("groups") is not None:
        return _grouped(source, data)
    return source if data.conditional else Unlabelled(source)


def _grouped(source: Source, data: DictConfig) -> Grouped:
    if data.conditional and source.spec.num_classes > 1:
        raise CganError(f"data.groups={data.groups}: they take the place of labels; add data.conditional=false")
    return Grouped(source, list(data.groups) if isinstance(data.groups, ListConfig) else data.groups)
