"""Does a sample show the class that was asked for? Read by the extractor's own classifier."""

import torch
from torch import Tensor

from cgan.metrics.looks import Look


def label_agreement(samples: Look, reference: Look) -> dict[str, float]:
    """Share of samples that the extractor's own classifier reads as the class that was asked for.

    The floor is the classifier's accuracy on real test images.
    """
    right = samples.logits.argmax(1) == samples.labels
    return {"label_agreement": float(right.double().mean())}


def class_agreement(samples: Look, reference: Look) -> dict[str, float]:
    """Label agreement of each class, as ``class_agreement/LABEL``."""
    table = confusion(samples)
    share = table.diagonal().double() / table.sum(1)
    return {f"class_agreement/{label}": float(share[label]) for label in reference.labels.unique().tolist()}


def confusion(samples: Look) -> Tensor:
    """Count samples by class asked for (rows) and class read (columns): (K, K) int64."""
    classes = samples.logits.shape[1]
    pairs = samples.labels * classes + samples.logits.argmax(1)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def confidence(samples: Look) -> Tensor:
    """Return the probability that the classifier gives the class asked for, (N,) float64."""
    return torch.softmax(samples.logits.double(), dim=1).gather(1, samples.labels[:, None]).squeeze(1)
