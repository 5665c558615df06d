"""Precision, recall, density and coverage: are samples where real images are, and everywhere they are?

All four compare equally many samples and reference images, with balls that reach to the k-th nearest neighbour.
"""

import torch

from cgan.metrics.looks import Look
from cgan.metrics.neighbours import nearest

K = 5


def precision_recall(samples: Look, reference: Look) -> dict[str, float]:
    """Precision and recall of Kynkäänniemi et al. 2019 with k = 5, by torch-fidelity.

    Precision: share of samples inside a real image's ball. Recall: share of real images inside a sample's ball.
    """
    from torch_fidelity.metric_prc import prc_features_to_metric  # a second of imports that few need

    real = reference.spread(len(samples.labels))
    values = prc_features_to_metric(
        samples.features, real.features, prc_neighborhood=K, prc_batch_size=1000, save_cpu_ram=True, verbose=False
    )
    return {"precision": values["precision"], "recall": values["recall"]}


def density_coverage(samples: Look, reference: Look) -> dict[str, float]:
    """Density and coverage of Naeem et al. 2020 with k = 5.

    Density: number of real images' balls that a sample lies in, over k; 1 is right, more means crowded. Coverage:
    share of real images' balls that hold a sample.
    """
    real = reference.spread(len(samples.labels)).features
    radii = nearest(real, real, K, same=True).distances[:, -1]
    inside, covered = 0, torch.zeros(len(real), dtype=torch.bool)
    for some in samples.features.split(1000):
        hits = torch.cdist(some, real) < radii
        inside += int(hits.sum())
        covered |= hits.any(dim=0)
    return {"density": inside / (K * len(samples.labels)), "coverage": float(covered.double().mean())}
