"""Any data set without its labels."""

from dataclasses import replace
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from cgan.data.sources import Source, Split, SplitName
from cgan.errors import CganError

TEXTS = ("root", "name")
OF_SOURCE = {
    "root": (str, "a path"),
    "class_names": (ListConfig, "a list of names"),
    "digits": (DictConfig, "a source"),
}
SWITCHES = ("conditional", "flip", "balance", "skip_unreadable")


class Unlabelled:
    """A source whose images are all of one class, named as the data set: training on it is unconditional.

    Args:
        source: The data set.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.spec = replace(source.spec, class_names=(source.spec.name,), factors=())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)  # a report, names of files

    def prepare(self) -> None:
        """Download what is missing."""
        self.source.prepare()

    def load(self, split: SplitName) -> Split:
        """Read one split; every label is 0."""
        images, labels = self.source.load(split)
        return Split(images, torch.zeros_like(labels))


def build_source(data: DictConfig) -> Source:
    """Build the data set of a configuration; ``data.conditional=false`` drops its labels.

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
    return source if data.conditional else Unlabelled(source)
