"""Classification accuracy score: a classifier trained on samples alone, tested on real images."""

from itertools import pairwise
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn

from cgan.metrics.classifier import accuracy, fit_classifier
from cgan.metrics.features import Extractor, Features
from cgan.metrics.metric import Computed, Metric, RealImages
from cgan.metrics.values import described

STEPS = 800
BATCH_SIZE = 128


class Student(nn.Sequential):
    """A fresh small classifier of images of any size: three convolutions, means of quarters, one linear layer.

    It shares nothing with the extractor, neither weights nor architecture.

    Args:
        img_shape: (C, H, W).
        num_classes: Number of classes.
    """

    def __init__(self, img_shape: tuple[int, int, int], num_classes: int) -> None:
        channels = [img_shape[0], 16, 32, 64]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(channels):
            conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=1 if fan_in == 32 else 2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(fan_out), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 64, num_classes))


class ClassificationAccuracy(Metric):
    """Classification accuracy score: mean and deviation over three students.

    The students of real images learn from as many images of the training split, for as long.
    """

    values = described("cas", "cas_deviation")
    min_samples = BATCH_SIZE

    def missing(self, extractor: Extractor, labels: Tensor, reference: Tensor, kind: str = "samples") -> str | None:
        """Ask for two classes, too: whoever knows one alone is always right."""
        if len(reference.unique()) < 2:
            return "needs two classes"
        return super().missing(extractor, labels, reference, kind)

    def prepare(self, real: RealImages) -> None:
        """Keep the splits by name: whichever is the reference, students are tested on ``test``."""
        self.train, self.test = real.train, real.test

    def compute(self, samples: Features, reference: Features) -> Computed:
        scores = classification_accuracy(samples.images, samples.labels, self.test.images, self.test.labels)
        return {"cas": fmean(scores), "cas_deviation": pstdev(scores)}

    def of_real(self, real: RealImages) -> Computed:
        return self.compute(self.train.spread(real.n), real.reference)


def classification_accuracy(
    images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor, seeds: tuple[int, ...] = (0, 1, 2)
) -> list[float]:
    """Train one student per seed on ``images`` alone; return its accuracy on real images (Ravuri & Vinyals 2019).

    The budget is 800 steps of 128 images whatever the number of images, rounded to whole passes.

    Args:
        images: (N, C, H, W) uint8, what to learn from; at least 128.
        labels: (N,) int64.
        test_images: (M, C, H, W) uint8, real.
        test_labels: (M,) int64.
        seeds: Each sets initial weights, order and jitter.
    """
    _, channels, height, width = images.shape
    epochs = max(round(STEPS / (len(labels) // BATCH_SIZE)), 1)
    scores = []
    for seed in seeds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            student = Student((channels, height, width), int(max(labels.max(), test_labels.max())) + 1)
        fit_classifier(student, images, labels, epochs=epochs, seed=seed, batch_size=BATCH_SIZE)
        scores.append(accuracy(student, test_images, test_labels))
    return scores
