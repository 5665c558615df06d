"""Any data set without its labels."""

from dataclasses import replace
from typing import Any

import torch

from cgan.data.sources import Source, Split, SplitName


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
