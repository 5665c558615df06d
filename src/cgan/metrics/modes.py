"""How many combinations of digits are drawn, and how evenly: StackedMNIST's metric."""

import logging
import math

import torch
from torch import Tensor

from cgan.errors import CganError
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.features import Features, share
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import Description, described

log = logging.getLogger(__name__)
BATCH = 500
SAMPLES = 26_000
PER_DIGIT = tuple(
    Description(
        f"digit_agreement_{digit}",
        f"Digit agreement, {digit}",
        f"Of the channels that were to show a {digit}, the share in which the classifier reads one.",
        direction="higher",
        low=0,
        high=1,
    )
    for digit in range(10)
)


class Modes(Metric):
    """Number of modes and their divergence from the uniform distribution (Metz et al. 2017; Lin et al. 2018, PacGAN).

    A mode is a combination of the digits that the bundled classifier reads in the channels of an image, of 10 ** C in
    all. It reads the pixels, so the values do not depend on ``features=``. The protocol has 26,000 samples; so many
    perfect ones have a divergence of 0.023, not 0, and fewer have more.

    Where the classes are such combinations, as the classifier reads real images, ``digit_agreement`` is the share of
    channels that show the requested digit, ``digit_agreement_3`` that of the channels that were to show a 3,
    ``digit_agreement_worst`` the lowest of these, and ``stack_agreement`` the share of images all of whose channels do.
    """

    values = (
        *described("modes", "modes_kl", "digit_agreement", "digit_agreement_worst", "stack_agreement"),
        *PER_DIGIT,
    )

    def prepare(self, real: RealImages) -> None:
        """Load the classifier.

        Raises:
            CganError: The images are not 28x28.
        """
        some = real.reference.spread(min(len(real.reference.labels), 1000))
        if (size := tuple(real.reference.images.shape[2:])) != (28, 28):
            raise CganError(f"metrics=modes reads 28x28 digits in each channel, found images of {size[0]}x{size[1]}")
        if real.n != SAMPLES:
            log.info(
                "metrics=modes: the protocol has n=%s, here n=%s: modes_kl falls with n", f"{SAMPLES:,}", f"{real.n:,}"
            )
        self.digits = DigitExtractor()
        requested = requested_digits(some.labels, some.images.shape[1])
        self.asked = requested is not None and share(read_digits(self.digits, some.images) == requested) > 0.9

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``modes``, ``modes_kl`` and, with labels that are combinations, the agreements."""
        digits = read_digits(self.digits, samples.images)
        shape = (10,) * digits.shape[1]
        counts = _combined(digits).bincount(minlength=math.prod(shape))
        found: Computed = {"modes": int((counts > 0).sum()), "modes_kl": kl_to_uniform(counts)}
        requested = requested_digits(samples.labels, digits.shape[1]) if self.asked else None
        if requested is not None:
            right = (digits == requested).double()
            found["digit_agreement"] = float(right.mean())
            found["stack_agreement"] = float(right.prod(1).mean())
            by_digit = {digit: float(right[requested == digit].mean()) for digit in requested.unique().tolist()}
            found["digit_agreement_worst"] = min(by_digit.values())
            found |= {f"digit_agreement_{digit}": value for digit, value in by_digit.items()}
        return found


def read_digits(extractor: DigitExtractor, images: Tensor) -> Tensor:
    """Read the digit in each channel: (N, C, 28, 28) uint8 -> (N, C) int64."""
    single = images.flatten(0, 1).unsqueeze(1)
    return torch.cat([extractor(some)[1].argmax(1) for some in single.split(BATCH)]).view(images.shape[:2])


def kl_to_uniform(counts: Tensor) -> float:
    """Return ``KL(p || uniform)`` in nats of the distribution that (K,) counts give."""
    share = counts.double() / counts.sum()
    return float(torch.special.xlogy(share, share * len(counts)).sum())


def requested_digits(labels: Tensor, channels: int) -> Tensor | None:
    """Take labels as combinations of digits: (N,) -> (N, C), the last channel counting fastest; None: one is none."""
    if int(labels.max()) >= 10**channels:
        return None
    return torch.stack(torch.unravel_index(labels, (10,) * channels), dim=1)


def _combined(digits: Tensor) -> Tensor:
    """Number the combinations: (N, C) digits, the last channel counting fastest -> (N,)."""
    return (digits * 10 ** torch.arange(digits.shape[1]).flip(0)).sum(1)
