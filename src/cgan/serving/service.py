"""What the page and the API share: models by name, images as tensors, limits on every request."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgan.checkpoint import load_generator
from cgan.commands import command
from cgan.errors import CganError
from cgan.files import changed_at
from cgan.hardware import check_device, give_memory_back, use_hardware_well
from cgan.networks.base import Generator
from cgan.sampling import directions, interpolate, noise
from cgan.sampling.draw import render
from cgan.sampling.invert import Inversion, Progress, invert, like, target_of
from cgan.sampling.styles import mix, truncate
from cgan.serving.catalog import Catalog, Model, without_paths
from cgan.spec import DataSpec

MAX_IMAGES = 1000
MAX_SEED = 2**53 - 1  # the largest whole number that JSON readers agree on
MAX_TRUNCATION = 2.0


class UnknownModelError(CganError):
    """The name is not in the listing, or what it names cannot be read."""


class Service:
    """Use the generators under ``logs`` by name; safe to share between threads.

    A class and a seed name an image. It does not depend on the rest of the request, and
    ``sample.py classes=CLASS n=1 seed=SEED`` draws the same one.
    """

    def __init__(self, logs: Path = Path("logs"), device: str = "cpu") -> None:
        check_device(device)
        use_hardware_well()
        give_memory_back()
        self.catalog = Catalog(Path(logs))
        self.device = device
        self._lock = threading.Lock()
        self._measuring = threading.Lock()

    def models(self) -> list[Model]:
        """List every generator, the pretrained first, then the newest; unreadable ones carry their error."""
        return self.catalog.models()

    def default_model(self) -> str:
        """Return the name of the model that the scripts take without ``ckpt=``."""
        if name := self.catalog.default():
            return name
        raise UnknownModelError(f"no generator found: train one with `{command('train', 'experiment=quickstart')}`")

    def model(self, name: str) -> Model:
        """Return a usable model of the listing.

        Raises:
            UnknownModelError: There is no such model, or its file cannot be read; all methods below raise it as well.
        """
        for listed in self.catalog.models():
            if listed.name == name:
                if listed.error is not None:
                    raise UnknownModelError(listed.error)
                return listed
        raise UnknownModelError(f"model {name!r:.100}: not in the listing; choose one that it names")

    def spec(self, model: str) -> DataSpec:
        """Return the class names and image shape of a model."""
        spec = self.model(model).spec
        assert spec is not None, "a model without error has a spec"
        return spec

    def generator(self, model: str) -> Generator:
        """Return a listed generator, in eval mode; the last few stay loaded until their file changes."""
        listed = self.model(model)
        with self._lock:
            try:
                return _load(listed.path, changed_at(listed.path), self.device)
            except CganError as error:
                raise UnknownModelError(without_paths(str(error), listed.name, listed.path)) from error

    def latents(self, model: str, labels: Sequence[int], seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Return what draws the images that labels and seeds name, (N, z_dim) or styles; arguments as :meth:`draw`."""
        generator, classes = self._checked(model, labels, truncation)
        if len(labels) != len(seeds):
            raise CganError(f"expected one seed per label, found {len(labels)} labels and {len(seeds)} seeds")
        _check_seeds(seeds)
        z = noise.latents_by_seed(list(labels), list(seeds), generator.z_dim)
        return truncate(generator, z, classes, truncation)

    def draw(self, model: str, labels: Sequence[int], seeds: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Draw one image per label and seed.

        Args:
            model: A name from :meth:`models`.
            labels: N classes, N from 1 to 1000.
            seeds: N seeds, 0 to 2**53 - 1.
            truncation: 0 to 2; less than 1 is neater and less varied.

        Returns:
            (N, C, H, W) uint8 on the CPU.

        Raises:
            CganError: A value is out of range.
        """
        latents = self.latents(model, labels, seeds, truncation)
        return render(self.generator(model), latents, torch.tensor(list(labels)))

    def style(self, model: str, seed: int) -> Tensor:
        """Return one latent (z_dim,) that belongs to no class: drawn with any class it gives the same style."""
        generator = self.generator(model)
        _check_seeds([seed])
        return noise.fixed_latents(1, generator.z_dim, seed)[0]

    def render(self, model: str, z: Tensor, labels: Sequence[int], truncation: float = 1.0) -> Tensor:
        """Draw with one latent (z_dim,) in all images, or with N of them (N, z_dim); else as :meth:`draw`."""
        generator, classes = self._checked(model, labels, truncation)
        z = _latents(z, len(labels), generator)
        return render(generator, truncate(generator, z, classes, truncation), classes)

    def mix(
        self,
        model: str,
        z: tuple[Tensor, Tensor],
        labels: Sequence[int],
        crossover: int | None = None,
        truncation: float = 1.0,
    ) -> Tensor:
        """Draw with the coarse layers of one latent and the fine layers of another, both as for :meth:`render`.

        ``crossover`` is the first fine layer; None: the middle one.

        Raises:
            CganError: The model has no styles, or sizes, classes or the layer do not fit.
        """
        generator, classes = self._checked(model, labels, truncation)
        coarse, fine = (_latents(one, len(labels), generator) for one in z)
        return render(generator, mix(generator, coarse, fine, classes, crossover, truncation), classes)

    def like(self, model: str, found: Inversion, labels: Sequence[int]) -> Tensor:
        """Draw classes in the style of what :meth:`invert` found: (N, C, H, W) uint8 on the CPU."""
        generator, classes = self._checked(model, labels)
        return render(generator, like(generator, found, classes), classes)

    def morph(
        self, model: str, labels: tuple[int, int], seeds: tuple[int, int], frames: int = 16, truncation: float = 1.0
    ) -> Tensor:
        """Draw the way from one image to another in 2 to 1000 frames, both included: (frames, C, H, W) uint8."""
        generator, _ = self._checked(model, labels, truncation)
        _check_seeds(seeds)
        _check_count(frames, minimum=2)
        start, end = noise.latents_by_seed(list(labels), list(seeds), generator.z_dim)
        return interpolate.morph(generator, (start, end), labels, frames, truncation)

    def directions(self, model: str) -> dict[str, Tensor]:
        """Return unit vectors (z_dim,) by name: slant, thickness and width; measured at the first call, then kept.

        Adding ``a`` times a vector to a latent raises the property; useful ``a`` lie within -3 to 3.
        """
        generator = self.generator(model)
        with self._measuring:  # takes seconds, and others draw meanwhile
            return _directions(generator)

    def invert(
        self, model: str, picture: np.ndarray, label: int | None = None, progress: Progress | None = None
    ) -> Inversion:
        """Search the latent whose image is nearest to a picture, after bringing the picture into the model's form.

        Args:
            model: A name from :meth:`models`.
            picture: As ``decode_image`` returns it.
            label: Its class; None searches among all.
            progress: Called with the share done, 0 to 1.

        Raises:
            CganError: The picture is empty, or the model lacks the class or has grey pictures that are not square.
        """
        generator = self.generator(model)
        if label is not None:
            _check_labels([label], generator)
        return invert(generator, target_of(generator, picture), label, progress=progress)

    def _checked(self, model: str, labels: Sequence[int], truncation: float = 1.0) -> tuple[Generator, Tensor]:
        """Return the generator and the labels as a tensor (N,), after checks."""
        generator = self.generator(model)
        _check_labels(labels, generator)
        if not 0 <= truncation <= MAX_TRUNCATION:
            raise CganError(f"truncation {truncation}: expected 0 to {MAX_TRUNCATION}")
        return generator, torch.tensor(list(labels))


@lru_cache(maxsize=8)
def _load(path: Path, changed: int, device: str) -> Generator:
    return load_generator(path, device=device)


@lru_cache(maxsize=8)
def _directions(generator: Generator) -> dict[str, Tensor]:
    return directions.find_directions(generator)


def _latents(z: Tensor, count: int, generator: Generator) -> Tensor:
    z = z.expand(count, -1) if z.ndim == 1 else z
    if z.shape != (count, generator.z_dim) or not z.isfinite().all():
        raise CganError(f"latents: expected {count} of {generator.z_dim} finite numbers, found shape {list(z.shape)}")
    return z


def _check_count(count: int, minimum: int = 1) -> None:
    if not minimum <= count <= MAX_IMAGES:
        raise CganError(f"expected {minimum} to {MAX_IMAGES} pictures at once, found {count}; send several requests")


def _check_labels(labels: Sequence[int], generator: Generator) -> None:
    _check_count(len(labels))
    if wrong := [label for label in labels if not 0 <= label < generator.num_classes]:
        raise CganError(f"class {wrong[0]}: this model knows the classes 0 to {generator.num_classes - 1}")


def _check_seeds(seeds: Sequence[int]) -> None:
    if wrong := [seed for seed in seeds if not 0 <= seed <= MAX_SEED]:
        raise CganError(f"seed {wrong[0]}: expected 0 to {MAX_SEED}")
