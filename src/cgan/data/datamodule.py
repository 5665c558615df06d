"""The one data module: a source behind seeded in-memory batches."""

import hashlib
import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from cgan.data.batches import Batches
from cgan.data.report import imbalance
from cgan.data.sources import Source, Split, SplitName
from cgan.errors import CganError, check_choice, check_whole
from cgan.spec import DataSpec

log = logging.getLogger(__name__)


@dataclass(eq=False)
class ImageData(pl.LightningDataModule):
    """Serve a source's training split in batches; keep its test split apart as the metrics' reference.

    Attributes:
        source: The data set.
        batch_size: Images per step and device.
        steps_per_batch: Training steps that share one call of the trainer; see ``Batches``.
        seed: Of the order of the images.
        flip: Mirror half of the images, chosen anew in each epoch.
        balance: Show each class equally often.
        device: Where the images lie: ``auto`` is the device that trains, if they fit into half of its free memory,
            else ``cpu``.
        steps_per_epoch: Steps after which an epoch ends, before all images are seen; None: all.

    Raises:
        CganError: An option has no such value.
    """

    source: Source
    batch_size: int = 64
    steps_per_batch: int = 1
    seed: int = 1
    flip: bool = False
    balance: bool = False
    device: str = "auto"
    steps_per_epoch: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        super().__init__()
        check_choice("data.device", self.device, ("auto", "cpu"))
        check_whole("data.batch_size", self.batch_size, 1)
        check_whole("data.steps_per_batch", self.steps_per_batch, 1)

    @property
    def spec(self) -> DataSpec:
        """Sizes and names of the data set."""
        return self.source.spec

    def prepare_data(self) -> None:
        """Download what is missing; Lightning calls this once per machine."""
        self.source.prepare()

    def state_dict(self) -> dict[str, str]:
        """Return what tells apart the groups of alike images, which are found anew at each start; empty without."""
        labels = self.train.labels if self.spec.grouped else None
        return {"groups": "" if labels is None else hashlib.sha256(labels.numpy().data).hexdigest()[:16]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Compare a resumed run's groups with its former ones: a label would be another group.

        Raises:
            CganError: They are others.
        """
        if state_dict.get("groups") != self.state_dict()["groups"]:
            raise CganError(
                "data.groups: the groups of images are not those of the checkpoint; go on with the same pictures, "
                "split and data.groups=, or start a new run"
            )

    def setup(self, stage: str) -> None:
        """Say what the training data is, if the source reports on it."""
        labels = self.train.labels.numpy()
        for line in getattr(self.source, "report", []):
            log.info(line)
        unequal = imbalance(labels, self.spec.class_names)
        if unequal and not self.balance and not self.spec.grouped:  # groups are as large as they are
            log.info(unequal)

    @cached_property
    def train(self) -> Split:
        """The training split, on the CPU."""
        return self._loaded("train")

    @cached_property
    def test(self) -> Split:
        """The official test split, on the CPU: a reference for metrics and nothing else."""
        return self._loaded("test")

    def _loaded(self, name: SplitName) -> Split:
        """Read a split; one of a source of the user's own may be anything.

        Raises:
            CganError: Images or labels are of another type, shape or range than those of the data set.
        """
        images, labels = self.source.load(name)
        where, shape = f"{type(self.source).__name__}.load({name!r})", self.spec.img_shape
        if not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.shape[1:] != shape:
            kind = str(images.dtype).removeprefix("torch.") if isinstance(images, Tensor) else type(images).__name__
            found = f"{kind} {tuple(images.shape)}"
            raise CganError(f"{where}: images {found}, expected uint8 (N, {', '.join(map(str, shape))})")
        if labels.shape != images.shape[:1] or labels.is_floating_point():
            raise CganError(f"{where}: labels of shape {tuple(labels.shape)}, expected {len(images)} whole numbers")
        last = self.spec.num_classes - 1
        if len(labels) and not (labels.min() >= 0 and labels.max() <= last):
            raise CganError(f"{where}: labels {labels.min()} to {labels.max()}, expected 0 to {last}")
        return Split(images, labels)

    def train_dataloader(self) -> Batches:
        """Return the batches of this rank."""
        assert self.trainer is not None, "train_dataloader() is called by a trainer"
        device = self.trainer.strategy.root_device
        stored = device if self.device == "auto" and _fits(self.train.images, device) else torch.device("cpu")
        return Batches(
            Split(*(tensor.to(stored) for tensor in self.train)),
            batch_size=self.batch_size,
            steps_per_batch=self.steps_per_batch,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            flip=self.flip,
            balance=self.balance,
            device=device,
            steps_per_epoch=self.steps_per_epoch,
        )


def _fits(images: Tensor, device: torch.device) -> bool:
    """Whether images leave half of a GPU's free memory to the networks."""
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] / 2
