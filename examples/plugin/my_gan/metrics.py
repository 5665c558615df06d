"""A metric: does the nearest real image show the requested class?"""

import torch

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric
from cgan.metrics.values import Description


class NearestClass(Metric):
    """Share of samples whose nearest real image, by features, is of the requested class."""

    values = (
        Description(
            "nearest_class",
            title="Nearest class",
            sentence="Share of the images whose nearest real image shows the class that was asked for.",
            direction="higher",
            low=0,
            high=1,
        ),
    )

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``nearest_class``."""
        nearest = torch.cdist(samples.features, reference.features).argmin(1)
        return {"nearest_class": float((reference.labels[nearest] == samples.labels).double().mean())}


class Brightness(Metric):
    """Mean brightness of the samples of each class."""

    values = (
        Description(
            "brightness",
            title="Brightness",
            sentence="Mean of the pixels, from 0 (black) to 1 (white).",
            direction="none",
            low=0,
            high=1,
            per_class=True,
        ),
    )
    min_per_class = 1

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``brightness``: a list in the order of the classes."""
        classes = range(int(reference.labels.max()) + 1)
        return {"brightness": [float(samples.of_class(label).images.float().mean() / 255) for label in classes]}
