"""Seeded batches from tensors in memory: no worker processes and no Python work per image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgan.data.sources import Split
from cgan.errors import CganError
from cgan.seeding import torch_stream


@dataclass(eq=False)
class EpochOrder:
    """The order of an epoch: a permutation that follows from ``(seed, epoch)`` alone.

    Lightning calls :meth:`set_epoch` on a loader's ``sampler`` before each epoch.

    Attributes:
        size: The number of images.
        seed: Names the orders.
        balanced_by: (size,) labels whose classes are to come equally often; an epoch then leaves out images of large
            classes and repeats those of small ones.
    """

    size: int
    seed: int
    balanced_by: Tensor | None = None
    epoch: int = field(default=0, init=False)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Return the epoch's order: (size,) int64 indices, all of them unless classes are balanced."""
        stream = torch_stream(self.seed, self.epoch)
        if self.balanced_by is None:
            return torch.randperm(self.size, generator=stream)
        chosen = _equally_often(self.balanced_by, stream)
        return chosen[torch.randperm(len(chosen), generator=stream)[: self.size]]

    def mirrored(self) -> Tensor:
        """Return which of the epoch's images are mirrored, (size,) bool, half of them on average."""
        return torch.rand(self.size, generator=torch_stream(self.seed, self.epoch, 1)) < 0.5


def _equally_often(labels: Tensor, stream: torch.Generator) -> Tensor:
    """Return at least ``len(labels)`` indices, as many of each class: random passes over the class's images."""
    places = [(labels == label).nonzero().squeeze(1) for label in labels.unique()]
    count = -(-len(labels) // len(places))
    return torch.cat([_passes(own, count, stream) for own in places])


def _passes(places: Tensor, count: int, stream: torch.Generator) -> Tensor:
    passes = [places[torch.randperm(len(places), generator=stream)] for _ in range(-(-count // len(places)))]
    return torch.cat(passes)[:count]


class Batches:
    """Chunks of ``steps_per_batch`` training batches.

    One iteration gives ``(images, labels)`` of shapes (K, B, C, H, W) uint8 and (K, B) int64, where K is
    ``steps_per_batch`` (less in an epoch's last chunk) and B is ``batch_size``. Several steps per chunk spare the
    trainer's bookkeeping between steps and change no result. An odd last batch is dropped: batch norm cannot use a
    batch of one.

    Rank ``r`` of ``world_size`` takes every ``world_size``-th index of the epoch's order, so ranks never share an
    image and together they see the same global batches as one process with ``world_size * batch_size``.

    Args:
        split: Images and labels, on the device that trains or on the CPU, from where each chunk is copied while the
            one before it is used.
        batch_size: Images per step on this rank.
        steps_per_batch: Steps per chunk.
        seed: Names the order, with the epoch.
        rank: This process, from 0.
        world_size: The number of processes.
        flip: Mirror half of the images, chosen anew in each epoch.
        balance: Show each class equally often.
        device: The device that trains; None where the split lies.
        steps_per_epoch: Steps after which an epoch ends, before all images are seen; None: all.

    Raises:
        CganError: The split has fewer images than one global batch.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        steps_per_batch: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        flip: bool = False,
        balance: bool = False,
        device: torch.device | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.steps_per_batch = steps_per_batch
        self.rank = rank
        self.world_size = world_size
        self.flip = flip
        self.device = device or split.images.device
        self.sampler = EpochOrder(len(split.labels), seed, split.labels.cpu() if balance else None)
        self.steps_per_epoch = len(split.labels) // (batch_size * world_size)
        if self.steps_per_epoch == 0:
            raise CganError(
                f"data.batch_size={batch_size} on {world_size} device(s): expected at most the {len(split.labels)} "
                "training images in all; lower data.batch_size"
            )
        self.steps_per_epoch = min(self.steps_per_epoch, steps_per_epoch or self.steps_per_epoch)
        self._steps_served = 0
        self._resume_from = 0

    def __len__(self) -> int:
        return -(-self.steps_per_epoch // self.steps_per_batch)

    def __iter__(self) -> Iterator[Split]:
        order = self._chunks(self.sampler.permutation())
        mirrored = self._chunks(self.sampler.mirrored()) if self.flip else [None] * len(order)
        first, self._resume_from = self._resume_from, 0
        upcoming = self._fetch(order[first], mirrored[first])
        for number in range(first, len(order)):
            chunk = upcoming
            if number + 1 < len(order):
                upcoming = self._fetch(order[number + 1], mirrored[number + 1])
            self._steps_served = min((number + 1) * self.steps_per_batch, self.steps_per_epoch)
            yield chunk

    def _chunks(self, values: Tensor) -> Sequence[Tensor]:
        """Cut this rank's share of an epoch's values into chunks (K, B)."""
        used = self.steps_per_epoch * self.batch_size * self.world_size
        return values[:used][self.rank :: self.world_size].view(-1, self.batch_size).split(self.steps_per_batch)

    def _fetch(self, index: Tensor, mirrored: Tensor | None) -> Split:
        """Gather a chunk, and start to copy it to the device."""
        images, labels = (stored[index.to(stored.device)] for stored in self.split)
        if images.device != self.device and self.device.type == "cuda":
            images = images.pin_memory()  # so that the copy runs beside the networks
        images, labels = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        if mirrored is None:
            return Split(images, labels)
        chosen = mirrored.to(self.device)[..., None, None, None]
        return Split(torch.where(chosen, images.flip(-1), images), labels)

    def state_dict(self) -> dict[str, int]:
        """Return the place in the epoch, in images of all ranks, 0 at its end; the trainer stores it in checkpoints."""
        return {"images_served": self._steps_served % self.steps_per_epoch * self._images_per_step, **self._order()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on at a stored place: the next iteration skips what was served.

        Raises:
            CganError: The place is within an epoch, and the epoch's order or its chunks are others now.
        """
        order, stored = self._order(), {key: state.get(key) for key in self._order()}
        served = state.get("images_served", -1)
        if served and stored != order:
            words = {
                "images": "the same {} images",
                "images_per_chunk": "data.batch_size x data.steps_per_batch x devices = {}",
                "seed": "seed={}",
                "balanced": f"data.balance={str(bool(stored['balanced'])).lower()}",
            }
            different = [words[key].format(value) for key, value in stored.items() if value != order[key]]
            raise CganError(
                f"this checkpoint was written within an epoch, after {served} images; go on with "
                f"{' and '.join(different)}, or from one of an epoch's end, such as best.ckpt"
            )
        self._resume_from = served // order["images_per_chunk"] % len(self)

    @property
    def _images_per_step(self) -> int:
        return self.batch_size * self.world_size

    def _order(self) -> dict[str, int]:
        """Return what decides which images come when."""
        return {
            "images": self.sampler.size,
            "images_per_chunk": self.steps_per_batch * self._images_per_step,
            "seed": self.sampler.seed,
            "balanced": int(self.sampler.balanced_by is not None),
        }
