"""Does a sample show the requested class? Read by the extractor's own classifier."""

import math

import torch
from torch import Tensor

from cgan.metrics.features import Features, share
from cgan.metrics.metric import Computed, Metric
from cgan.metrics.values import described


class LabelAgreement(Metric):
    """Share of samples that the extractor's own classifier reads as the requested class.

    That of real images is the classifier's accuracy.
    """

    values = described("label_agreement")
    needs_classes = "data"

    def compute(self, samples: Features, reference: Features) -> Computed:
        return {"label_agreement": agreement(samples)}


class ClassAgreement(Metric):
    """Label agreement of each class, and the lowest."""

    values = described("label_agreement_worst", "class_agreement")
    min_per_class = 1
    needs_classes = "data"

    def compute(self, samples: Features, reference: Features) -> Computed:
        table = confusion(samples).double()
        by_class = (table.diagonal() / table.sum(1)).tolist()[: int(reference.labels.max()) + 1]
        present = [by_class[label] for label in reference.labels.unique()]
        worst = math.nan if any(map(math.isnan, present)) else min(present)
        return {"label_agreement_worst": worst, "class_agreement": by_class}


def agreement(images: Features) -> float:
    """Return the share of images that the extractor reads as labelled."""
    return share(images.logits.argmax(1) == images.labels)


def confusion(samples: Features) -> Tensor:
    """Count samples by requested class (rows) and class read (columns): (K, K) int64."""
    classes = samples.logits.shape[1]
    pairs = samples.labels * classes + samples.logits.argmax(1)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def confidence(samples: Features) -> Tensor:
    """Return the probability that the classifier gives the requested class, (N,) float64."""
    return torch.softmax(samples.logits.double(), dim=1).gather(1, samples.labels[:, None]).squeeze(1)
