"""Seeded batches from tensors in memory: no worker processes and no Python work per image."""

from collections.abc import Iterator

import torch
from torch import Tensor

from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.seeding import torch_stream
from cgan.spec import to_float


class EpochOrder:
    """The order of an epoch: a permutation that follows from ``(seed, epoch)`` alone.

    Lightning calls :meth:`set_epoch` on a loader's ``sampler`` before each epoch.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Return the epoch's order of all indices, (size,) int64."""
        return torch.randperm(self.size, generator=torch_stream(self.seed, self.epoch))


class Batches:
    """Chunks of ``steps_per_batch`` training batches, ready for the networks.

    One iteration gives ``(images, labels)`` of shapes (K, B, C, H, W) float32 in [-1, 1] and (K, B) int64, where K is
    ``steps_per_batch`` (less in an epoch's last chunk) and B is ``batch_size``. Several steps per chunk spare the
    trainer's bookkeeping between steps and change no result. An odd last batch is dropped: batch norm cannot use a
    batch of one.

    Rank ``r`` of ``world_size`` takes every ``world_size``-th index of the epoch's order, so ranks never share an
    image and together they see the same global batches as one process with ``world_size * batch_size``.

    Args:
        split: Images and labels, on the device that is to train.
        batch_size: Images per step on this rank.
        steps_per_batch: Steps per chunk.
        seed: Names the order, with the epoch.
        rank: This process, from 0.
        world_size: The number of processes.

    Raises:
        CganError: The split has fewer images than one global batch.
    """

    def __init__(
        self, split: Split, *, batch_size: int, steps_per_batch: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1 or steps_per_batch < 1:
            raise CganError(
                f"data.batch_size={batch_size}, data.steps_per_batch={steps_per_batch}: expected at least 1"
            )
        self.split = split
        self.batch_size = batch_size
        self.steps_per_batch = steps_per_batch
        self.rank = rank
        self.world_size = world_size
        self.sampler = EpochOrder(len(split.labels), seed)
        self.steps_per_epoch = len(split.labels) // (batch_size * world_size)
        if self.steps_per_epoch == 0:
            raise CganError(
                f"data.batch_size={batch_size} on {world_size} device(s): expected at most the {len(split.labels)} "
                "training images in all; lower data.batch_size"
            )
        self._chunks_served = 0
        self._resume_from = 0

    def __len__(self) -> int:
        return -(-self.steps_per_epoch // self.steps_per_batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.split
        used = self.steps_per_epoch * self.batch_size * self.world_size
        order = self.sampler.permutation()[:used][self.rank :: self.world_size].to(labels.device)
        chunks = order.view(self.steps_per_epoch, self.batch_size).split(self.steps_per_batch)
        first, self._resume_from = self._resume_from, 0
        for number in range(first, len(chunks)):
            index = chunks[number]
            self._chunks_served = number + 1
            yield to_float(images[index]), labels[index]

    def state_dict(self) -> dict[str, int]:
        """Return the place in the epoch; the trainer stores it in every checkpoint."""
        return {"chunks_served": self._chunks_served}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on at a stored place: the next iteration skips what was served, none if the epoch was complete."""
        self._resume_from = state["chunks_served"] % len(self)
