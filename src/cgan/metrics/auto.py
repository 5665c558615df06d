"""``features=auto``: a bundled classifier where it reads the data, else one of the data's own, else pixels."""

import logging
from collections.abc import Callable

import torch

from cgan.errors import CganError
from cgan.metrics.cache import cached_features
from cgan.metrics.digits import DigitExtractor, StackedDigitExtractor
from cgan.metrics.features import Extractor, Labelled, share
from cgan.metrics.inception import InceptionExtractor, inception_file
from cgan.metrics.labels import agreement
from cgan.metrics.modes import read_digits, requested_digits
from cgan.metrics.own import Cifar10Extractor, ClassifierExtractor, OwnExtractor
from cgan.metrics.pixels import PixelExtractor
from cgan.metrics.timm_model import DINO, TimmExtractor, timm_at_hand
from cgan.spec import DataSpec

log = logging.getLogger(__name__)
MANY_GROUPS = 200
"""Of more groups of alike images no classifier is trained."""
STACKS, READ = 500, 0.9
"""Of so many stacks more than this share of the channels must be read as labelled."""
_PRETRAINED: dict[str, Callable[[], bool]] = {
    "inception": lambda: inception_file().is_file(),
    "timm": lambda: timm_at_hand(DINO),
}
"""By the word of ``features=``, the most comparable first: whether it can be had without a download."""
BUNDLED: tuple[Callable[[], ClassifierExtractor], ...] = (DigitExtractor, Cifar10Extractor)


class AutoExtractor(OwnExtractor):
    """Chooses by the data, and says what and why.

    0. The classifier that ``weights`` names.
    1. Stacks of digits: the bundled digit classifier in each channel.
    2. A bundled classifier whose shape and classes are those of the data and that reads their held-out images: not so
       inverted or transposed digits.
    3. A classifier trained on the data, see :class:`OwnExtractor`; or on its groups of alike images.
    4. Data without classes, or with very many groups: on a GPU the Inception network, else DINOv2, if the weights are
       there; else pixels, as on every CPU, where these networks would take longer than the training.
    """

    def fitted(self, spec: DataSpec, train: Labelled, test: Labelled, device: torch.device | str) -> Extractor:
        if self.weights:
            return super().fitted(spec, train, test, device)
        if spec.num_classes < 2 or (spec.grouped and spec.num_classes > MANY_GROUPS):
            return _of_unlabelled(device).fitted(spec, train, test, device)
        if spec.grouped:
            return super().fitted(spec, train, test, device)
        if _are_stacks(spec, train):
            log.info("Features: stacked_digits, as the images are stacks of digits; metrics=modes reads them")
            return StackedDigitExtractor().fitted(spec, train, test, device)
        for bundled in BUNDLED:
            if found := _suited(bundled, spec, test, device):
                return found
        return super().fitted(spec, train, test, device)


def _are_stacks(spec: DataSpec, train: Labelled) -> bool:
    """Whether the classes are combinations of one digit per channel, and the bundled classifier reads them so."""
    channels = spec.img_shape[0]
    if channels < 2 or spec.img_shape[1:] != (28, 28) or spec.factors != (10,) * channels:
        return False
    images, labels = (column[:STACKS] for column in train)
    requested = requested_digits(labels, channels)
    return requested is not None and share(read_digits(DigitExtractor(), images) == requested) > READ


def _suited(
    bundled: Callable[[], ClassifierExtractor], spec: DataSpec, test: Labelled, device: torch.device | str
) -> ClassifierExtractor | None:
    """Return a bundled classifier on ``device`` if it is of these classes and reads the held-out images."""
    found = bundled().to(device)
    try:
        found.check(spec)
    except CganError:
        return None
    right = agreement(cached_features(found, *test))
    suited = right >= found.trusted
    rest = "" if suited else f": less than {found.trusted:.0%}, so it is not used"
    log.info("Features: %s, bundled, reads %.1f %% of the held-out images as labelled%s", found.name, 100 * right, rest)
    return found if suited else None


def _of_unlabelled(device: torch.device | str) -> Extractor:
    """Return a pretrained network of photographs whose weights are here, else thumbnails; the latter on every CPU."""
    reason = "as the data have no classes to train a classifier of"
    here = next((name for name, at_hand in _PRETRAINED.items() if at_hand()), None)
    if here is None:
        log.info("Features: thumbnails, %s; after a download features=inception or features=timm see more", reason)
        return PixelExtractor()
    if torch.device(device).type == "cpu":
        log.info(
            "Features: thumbnails, %s; features=%s, whose weights are here, sees more, but on a CPU takes longer than "
            "the training",
            reason,
            here,
        )
        return PixelExtractor()
    log.info("Features: %s, %s", here, reason)
    return InceptionExtractor() if here == "inception" else TimmExtractor(DINO)
