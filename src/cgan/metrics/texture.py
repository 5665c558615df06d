"""Numbers of the pixels alone: they see colour, texture, blur and dot screens, which a classifier hardly does.

All of them read at most 2,000 images, which have patches enough, in small parts.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.metrics.distances import FrechetDistance
from cgan.metrics.features import Features, in_class_shares
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import described
from cgan.spec import to_float

IMAGES = 2000
PART = 250
PATCH = 4
THUMBNAIL = 8
PERIODS = (2, 4)
ROUNDING = (2 / 255) ** 2 / 12
"""Energy of rounding to 256 shades: where real images have less, a ratio would compare noise."""


class PatchDistance(FrechetDistance):
    """Fréchet distance of the 4x4 patches that tile the images, in pixels of [-1, 1]."""

    values = described("patch_fid")

    def points(self, images: Features) -> Iterator[Tensor]:
        """Yield patches, (M, C * 16); what does not fill a patch at the right and the bottom is left out."""
        parts = _parts(images)
        return (F.unfold(some, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1) for some in parts)


class ThumbnailDistance(FrechetDistance):
    """Fréchet distance of the images averaged to at most 8x8 pixels of [-1, 1]."""

    values = described("thumbnail_fid")

    def points(self, images: Features) -> Iterator[Tensor]:
        height, width = (min(side, THUMBNAIL) for side in images.images.shape[2:])
        return (F.adaptive_avg_pool2d(some, (height, width)).flatten(1) for some in _parts(images))


class Spectrum(Metric):
    """Energy of rows and of columns at periods of 2 and 4 pixels over that of the reference; the larger of the two.

    Sub-pixel and transposed convolutions leave dots and stripes of these periods (Odena et al. 2016).
    """

    values = described("spectrum_2", "spectrum_4")

    def prepare(self, real: RealImages) -> None:
        self.energies = _energies(real.reference)

    def compute(self, samples: Features, reference: Features) -> Computed:
        ratios = (_energies(samples) + ROUNDING) / (self.energies + ROUNDING)
        return {f"spectrum_{period}": float(ratio) for period, ratio in zip(PERIODS, ratios.amax(0), strict=True)}


def _parts(images: Features) -> Iterator[Tensor]:
    """Yield images in the class shares of all, (N, C, H, W) float in [-1, 1], a few at a time."""
    chosen = in_class_shares(images.labels, min(len(images.labels), IMAGES))
    return (to_float(images.images[some]) for some in chosen.split(PART))


def _energies(images: Features) -> Tensor:
    """Return the mean energy of rows and of columns (first axis) at each period (second axis), (2, 2) float64."""
    found = [torch.stack([_energy(some), _energy(some.mT)]) * len(some) for some in _parts(images)]
    return torch.stack(found).sum(0) / min(len(images.labels), IMAGES)


def _energy(images: Tensor) -> Tensor:
    """Return the mean energy of the rows of (N, C, H, W) images at each period, as the discrete Fourier transform."""
    whole = images[..., : images.shape[-1] // 4 * 4]  # of whole periods, so that a plain area has no energy
    place = torch.arange(whole.shape[-1])
    waves = torch.stack([torch.polar(torch.ones(()), place * (2 * math.pi / period)) for period in PERIODS], dim=1)
    return (whole.to(waves.dtype) @ waves).abs().square().double().mean((0, 1, 2)) / whole.shape[-1]
