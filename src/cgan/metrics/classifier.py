"""Plain supervised training of a small image classifier, for metrics that need one."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.seeding import torch_stream
from cgan.spec import to_float


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 10 degrees, scale by up to 10 % and shift by up to 2 pixels: (N, C, H, W) float, -1 outside."""
    count, _, height, width = images.shape
    turn, stretch, shift_x, shift_y = torch.rand(4, count, generator=generator).mul_(2).sub_(1)
    angle, scale = turn * math.radians(10), 1 + 0.1 * stretch
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack([cos, -sin, shift_x * 4 / width, sin, cos, shift_y * 4 / height], dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3).to(images.device), list(images.shape), align_corners=False)
    # grid_sample fills the outside with 0; adding 1 makes that the background.
    return F.grid_sample(images + 1, grid, align_corners=False).sub_(1)


def fit_classifier(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    on_epoch_end: Callable[[int], None] | None = None,
) -> None:
    """Train ``classifier`` in place with AdamW, a one-cycle learning rate, jittered images and label smoothing.

    Args:
        classifier: (N, C, H, W) float in [-1, 1] -> (N, num_classes) logits.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        epochs: Passes over the images.
        seed: Sets the order of the images and their jitter.
        batch_size: Images per step.
        learning_rate: Peak of the cycle.
        on_epoch_end: Called with the number of epochs done.
    """
    steps = len(labels) // batch_size
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=learning_rate, weight_decay=0.02, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    stream = torch_stream(seed)
    for epoch in range(epochs):
        classifier.train()
        order = torch.randperm(len(labels), generator=stream)[: steps * batch_size].view(steps, batch_size)
        for index in order:
            logits = classifier(jitter(to_float(images[index]), stream))
            loss = F.cross_entropy(logits, labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
        classifier.eval()
        if on_epoch_end:
            on_epoch_end(epoch + 1)


@torch.inference_mode()
def accuracy(classifier: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 500) -> float:
    """Return the share of uint8 ``images`` that ``classifier`` reads as their label; leaves it in eval mode."""
    classifier.eval()
    right = sum(
        int((classifier(to_float(some)).argmax(1) == true).sum())
        for some, true in zip(images.split(batch_size), labels.split(batch_size), strict=True)
    )
    return right / len(labels)
