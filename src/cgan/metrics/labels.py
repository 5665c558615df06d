"""Does a sample show the requested class? Read by the extractor's own classifier."""

import math

import torch
from torch import Tensor

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric
from cgan.metrics.values import described


class LabelAgreement(Metric):
    """Share of samples that the extractor's own classifier reads as the requested class.

    That of real images is the classifier's accuracy.
    """

    values = described("label_agreement")
    needs_classes = "data"

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``label_agreement``."""
        return {"label_agreement": float((samples.logits.argmax(1) == samples.labels).double().mean())}


class ClassAgreement(Metric):
    """Label agreement of each class, and the lowest."""

    values = described("label_agreement_worst", "class_agreement")
    min_per_class = 1
    needs_classes = "data"

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``label_agreement_worst`` and ``class_agreement``, a list with one number per class."""
        table = confusion(samples).double()
        share = (table.diagonal() / table.sum(1)).tolist()[: int(reference.labels.max()) + 1]
        return {"label_agreement_worst": min(x for x in share if not math.isnan(x)), "class_agreement": share}


def confusion(samples: Features) -> Tensor:
    """Count samples by requested class (rows) and class read (columns): (K, K) int64."""
    classes = samples.logits.shape[1]
    pairs = samples.labels * classes + samples.logits.argmax(1)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def confidence(samples: Features) -> Tensor:
    """Return the probability that the classifier gives the requested class, (N,) float64."""
    return torch.softmax(samples.logits.double(), dim=1).gather(1, samples.labels[:, None]).squeeze(1)
