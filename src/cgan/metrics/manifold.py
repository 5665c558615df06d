"""Precision, recall, density and coverage: are samples where real images are, and everywhere they are?

All four compare equally many samples and reference images, with balls that reach to the k-th nearest neighbour.
"""

import torch

from cgan.metrics.features import Features
from cgan.metrics.metric import Computed, Metric
from cgan.metrics.neighbours import nearest
from cgan.metrics.values import described

K = 5


class PrecisionRecall(Metric):
    """Precision and recall with k = 5, by torch-fidelity.

    Precision: share of samples inside a real image's ball. Recall: share of real images inside a sample's ball.
    """

    values = described("precision", "recall")
    min_samples = K + 1

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``precision`` and ``recall``."""
        from torch_fidelity.metric_prc import prc_features_to_metric  # a second of imports that few need

        real = reference.spread(len(samples.labels))
        values = prc_features_to_metric(
            samples.features, real.features, prc_neighborhood=K, prc_batch_size=1000, save_cpu_ram=True, verbose=False
        )
        return {"precision": values["precision"], "recall": values["recall"]}


class DensityCoverage(Metric):
    """Density and coverage with k = 5.

    Density: number of real images' balls that a sample lies in, over k. Coverage: share of real images' balls that
    hold a sample.
    """

    values = described("density", "coverage")
    min_samples = K + 1

    def compute(self, samples: Features, reference: Features) -> Computed:
        """Return ``density`` and ``coverage``."""
        real = reference.spread(len(samples.labels)).features
        radii = nearest(real, real, K, same=True).distances[:, -1]
        inside, covered = 0, torch.zeros(len(real), dtype=torch.bool)
        for some in samples.features.split(1000):
            hits = torch.cdist(some, real) < radii
            inside += int(hits.sum())
            covered |= hits.any(dim=0)
        return {"density": inside / (K * len(samples.labels)), "coverage": float(covered.double().mean())}
