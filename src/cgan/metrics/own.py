"""Features of a classifier of the data's own classes: bundled, or trained once on the training split and kept."""

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from cgan.errors import CganError
from cgan.files import cache_folder, locked
from cgan.hardware import multiplies_bfloat16
from cgan.metrics.cache import keep, sealed, unsealed
from cgan.metrics.classifier import accuracy, fit_classifier, fused, jitter, mirror, nesterov, shift
from cgan.metrics.features import Extractor, Labelled, hash_of
from cgan.metrics.picture_net import PictureNet
from cgan.spec import DataSpec, to_float

log = logging.getLogger(__name__)
FIRST_STEPS = 2, 8
"""The pace is that of the steps between these two: the first ones take longer."""
FORMAT = "cgan-classifier"
RECIPE = 3
"""Counts the changes of network and training: weights of another recipe are not taken from the cache."""
CIFAR10 = Path(__file__).with_name("cifar10.safetensors")
CIFAR10_SHA256 = "99018d3d83a7eeacf5b679196d21b29352e0e9e5e798f83a2ea76873397ca6b9"
LARGEST_BATCH = 128
LEARNING_RATE = 0.2
"""Of the largest batch; it falls with the batch."""
FEW_EPOCHS = 20
"""Up to here images are only shifted; what is seen more often is turned and scaled, too."""
MOST_EPOCHS = 40


class ClassifierExtractor(Extractor):
    """A trained classifier of the data's classes, frozen, always in eval mode and in float32.

    Args:
        net: Maps float images in [-1, 1] to logits; ``net.features`` and ``net.head`` are its two parts.
        spec: The data that it was trained for.
        accuracy: Share of held-out images that it reads as labelled.
        name: Stands in the protocol; None: ``own`` with the first digits of the weights' hash.

    Attributes:
        trusted: Share of a data set's held-out images that it must read as labelled for ``features=auto`` to take it.
    """

    classes: Literal["data", "imagenet", "none"] = "data"
    accuracy: float
    trusted: float

    def __init__(self, net: nn.Module, spec: DataSpec, accuracy: float, name: str | None = None) -> None:
        super().__init__()
        self.net = net.eval().to(memory_format=torch.channels_last).requires_grad_(False)
        self.spec = spec
        self.accuracy = accuracy
        self.trusted = accuracy - 0.03
        self.name = name or f"own_{self.weights_hash()[:6]}"

    def check(self, spec: DataSpec) -> None:
        """Refuse images of another shape or of other classes; those of data without labels are not known.

        Raises:
            CganError: The images of ``spec`` are something else.
        """
        known = not spec.labelled or spec.class_names == self.spec.class_names
        if spec.img_shape != self.spec.img_shape or not known:
            raise CganError(
                f"features={self.name}: a classifier of {self.spec.summary}, {spec.name} has {spec.summary}; leave "
                "features= out, which chooses by the data"
            )

    def fitted(self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str) -> Extractor:
        """Return itself on ``device``; where the data have no labels, its readings cannot be compared with any."""
        if spec.num_classes == 1 or spec.class_names != self.spec.class_names:
            self.classes = "none"
        return super().fitted(spec, train, test, device)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, C, H, W) uint8 to features (N, D) and logits (N, K), both float32."""
        with torch.autocast(images.device.type, enabled=False):
            features = self.net.features(to_float(images))  # type: ignore[operator]
            return features, self.net.head(features)  # type: ignore[operator]


class Cifar10Extractor(ClassifierExtractor):
    """The bundled classifier of CIFAR-10, made by ``cgan features``; see docs/classifiers.md.

    Raises:
        CganError: The weights beside the code are missing or not the recorded ones.
    """

    def __init__(self, weights: Path = CIFAR10) -> None:
        verified(weights, CIFAR10_SHA256)
        found = read_classifier(weights)
        super().__init__(found.net, found.spec, found.accuracy, "cifar10")


class OwnExtractor(Extractor):
    """Trains a :class:`PictureNet` on the data's training split, once: it is kept in the cache.

    Data, recipe and ``seed`` decide its weights on one machine with one number of threads. Large sets are
    seen a few times, each time shifted a little, small ones up to 40 times, each time turned and scaled as well.

    Args:
        images: Training images to show in all.
        seed: Of the weights at the start, the order of the images and their jitter.
        flip: Whether mirrored images are of the same class.
        weights: A file with a trained classifier of the same shape and classes; None: from the cache, else trained.
    """

    def __init__(self, images: int = 350_000, seed: int = 1, flip: bool = False, weights: str | None = None) -> None:
        super().__init__()
        self.weights = weights
        self.images = images
        self.seed = seed
        self.flip = flip

    def fitted(self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str) -> Extractor:
        """Return the classifier: from the cache, else trained now on ``device``.

        Raises:
            CganError: The data have one class only, or ``weights`` is not a classifier of theirs.
        """
        if self.weights:
            return read_classifier(Path(self.weights)).fitted(spec, train, test, device)
        if spec.num_classes < 2:
            raise CganError(
                f"features=own: a classifier needs at least 2 classes, {spec.name} has {spec.num_classes}; leave "
                "features= out, which chooses by the data"
            )
        path = self.file(spec, train, test)
        with locked(path):  # another process may be training the same
            try:
                found = read_classifier(path)
            except CganError:
                found = self._trained(spec, train, test, device)
                keep(path, serialised(found))
        log.info("Features: %s; kept in %s", reading(found), path)
        if found.accuracy < 0.5:
            log.warning(
                "These features misread most held-out images: values in them say little, and the epoch that is best by "
                "them may be a bad one; try more than features.images=%s",
                self.images,
            )
        return found.to(device)

    def file(self, spec: DataSpec, train: Labelled, test: Labelled) -> Path:
        """Return where the weights for this data and this recipe are kept."""
        recipe = [RECIPE, self.images, self.seed, self.flip, spec.img_shape, spec.class_names]
        key = hashlib.sha256(f"{json.dumps(recipe)} {hash_of([*train, *test])}".encode()).hexdigest()[:16]
        return cache_folder() / f"own_{key}.safetensors"

    def _trained(
        self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str
    ) -> ClassifierExtractor:
        images, labels = (column.to(device) for column in train)
        count = len(labels)
        epochs = min(max(self.images // count, 1), MOST_EPOCHS)
        batch_size = min(max(count // 16, 8), LARGEST_BATCH, count)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = PictureNet(spec.img_shape, spec.num_classes).to(device)
        log.info("Features: training a classifier of %s for %d epochs, once", spec.summary, epochs)
        reproducible = torch.backends.cudnn.flags(benchmark=False, deterministic=True)
        with reproducible, tqdm(total=count * epochs, unit="img", desc="features", dynamic_ncols=True) as bar:
            pace = Pace(bar)
            fit_classifier(
                net,
                images,
                labels,
                epochs=epochs,
                seed=self.seed,
                batch_size=batch_size,
                learning_rate=LEARNING_RATE * batch_size / LARGEST_BATCH,
                build_optimizer=nesterov,
                augment=[jitter if epochs > FEW_EPOCHS else shift, *([mirror] if self.flip else [])],
                precision=fast_precision(torch.device(device)),
                on_step=pace.step,
            )
        net = fused(net.eval()).cpu().half().float()  # as it is kept
        return ClassifierExtractor(net, spec, accuracy(net, *test))


class Pace:
    """Moves a bar, and says after the first steps how long all take on this machine."""

    def __init__(self, bar: tqdm) -> None:
        self.bar = bar
        self._steps = 0
        self._started = (0, 0.0)

    def step(self, images: int) -> None:
        """Count a step of some images."""
        self.bar.update(images)
        self._steps += 1
        if self._steps == FIRST_STEPS[0]:
            self._started = self.bar.n, time.perf_counter()
        elif self._steps == FIRST_STEPS[1]:
            seconds = (time.perf_counter() - self._started[1]) / (self.bar.n - self._started[0]) * self.bar.total
            about = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
            with self.bar.external_write_mode():
                log.info("Features: that takes about %s here", about)


def serialised(found: ClassifierExtractor) -> bytes:
    """Return a classifier as a safetensors file in float16, with its data and its held-out accuracy."""
    about = {"spec": found.spec.to_dict(), "accuracy": found.accuracy, "recipe": RECIPE}
    weights = {name: weight.half().contiguous() for name, weight in found.net.state_dict().items()}
    return sealed(weights, {"format": FORMAT, "about": json.dumps(about)})


def read_classifier(path: Path) -> ClassifierExtractor:
    """Read what :func:`serialised` gave.

    Raises:
        CganError: The file is missing or something else.
    """
    try:
        stored, words = unsealed(path, required=False)
        about: dict[str, Any] = json.loads(words["about"])
        weights = {name: weight.float() for name, weight in stored.items()}
        spec = DataSpec.from_dict(about["spec"])
        net = fused(PictureNet(spec.img_shape, spec.num_classes).eval())
        net.load_state_dict(weights)
        return ClassifierExtractor(net, spec, float(about["accuracy"]))
    except Exception as error:  # an untrusted file can fail in any way
        reason = " ".join(str(error).split())
        raise CganError(
            f"{path}: expected the weights of a classifier ({reason:.120}); without features.weights= one is trained"
        ) from error


def verified(path: Path, sha256: str) -> bytes:
    """Return the bytes of a bundled file.

    Raises:
        CganError: It is missing, or not the recorded one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CganError(f"bundled weights: cannot read {path} ({error.strerror}); install cgan again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CganError(
            f"bundled weights: {path} has SHA-256 {found[:12]}..., expected {sha256[:12]}...; with other weights no "
            "value could be compared: install cgan again"
        )
    return content


def reading(extractor: ClassifierExtractor) -> str:
    """Say what a classifier reads, and how well."""
    share = f"reads {extractor.accuracy:.1%} of the held-out images as labelled"
    return f"{extractor.name}, a classifier of {extractor.spec.summary}, {share}"


def fast_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 for a CPU that multiplies in it, else float32."""
    return torch.bfloat16 if device.type == "cpu" and multiplies_bfloat16() else torch.float32
