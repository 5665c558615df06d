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
