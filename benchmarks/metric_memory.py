"""How much memory do metrics take beside the images? `python benchmarks/metric_memory.py [samples]`."""

import sys

import torch

from cgan.metrics.distances import FrechetDistance, IntraClassDistance, KernelDistance
from cgan.metrics.features import Features
from cgan.metrics.manifold import ClassRecall, DensityCoverage, PrecisionRecall
from cgan.metrics.metric import RealImages
from cgan.metrics.texture import PatchDistance, Spectrum, ThumbnailDistance
from cgan.metrics.variety import ExactCopies, Memorised, NearDuplicates, VarianceRatio

METRICS = (
    FrechetDistance,
    KernelDistance,
    IntraClassDistance,
    ExactCopies,
    NearDuplicates,
    Memorised,
    VarianceRatio,
    PrecisionRecall,
    DensityCoverage,
    ClassRecall,
    PatchDistance,
    ThumbnailDistance,
    Spectrum,
)


def peak_mb() -> float:
    """Return the peak resident memory of this process in MB."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024


def noise(n: int) -> Features:
    """Return images of 3x64x64 noise in ten classes, with 64 features each."""
    images = torch.randint(0, 256, (n, 3, 64, 64), dtype=torch.uint8)
    return Features(torch.arange(n) % 10, torch.randn(n, 64), torch.randn(n, 10), images)


def main(n: int) -> None:
    """Measure ``n`` samples against 60,000 reference images, and print the peak after each metric."""
    torch.manual_seed(0)
    real, samples = RealImages(noise(60_000), noise(n), n), noise(n)
    data = peak_mb()
    print(f"{'images in memory':20} {data:6.0f} MB")
    for metric in (kind() for kind in METRICS):
        metric.prepare(real)
        metric.compute(samples, real.reference)
        print(f"{type(metric).__name__:20} {peak_mb() - data:6.0f} MB more at most", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
