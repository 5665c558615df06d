"""Plain supervised training of a small image classifier, for metrics that need one."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cgan.seeding import torch_stream
from cgan.spec import to_float

T = TypeVar("T", bound=nn.Module)


def jitter(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 10 degrees, scale by up to 10 %, shift by up to a 14th: (N, C, H, W) float, -1 outside."""
    count, _, height, width = images.shape
    turn, stretch, shift_x, shift_y = torch.rand(4, count, generator=generator).mul_(2).sub_(1)
    angle, scale = turn * math.radians(10), 1 + 0.1 * stretch
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    # Height and width are both 2 in the grid's coordinates.
    rows = torch.stack([cos, -sin * (height / width), shift_x / 7, sin * (width / height), cos, shift_y / 7], dim=1)
    grid = F.affine_grid(rows.view(count, 2, 3).to(images.device), list(images.shape), align_corners=False)
    # grid_sample fills the outside with 0; adding 1 makes that the background.
    return F.grid_sample(images + 1, grid, align_corners=False).sub_(1)


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by whole pixels, up to a 14th, which blurs nothing: (N, C, H, W), its own mirror image outside."""
    count, _, height, width = images.shape
    reach = [round(side / 14) for side in (height, width)]
    padded = F.pad(images, [reach[1]] * 2 + [reach[0]] * 2, mode="reflect")
    y, x = (torch.randint(2 * most + 1, (count, 1), generator=generator) for most in reach)
    rows, columns = (y + torch.arange(height)).unsqueeze(2), (x + torch.arange(width)).unsqueeze(1)
    return padded[torch.arange(count).view(-1, 1, 1), :, rows, columns].permute(0, 3, 1, 2)


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, left to right: (N, C, H, W)."""
    chosen = torch.randint(2, (len(images), 1, 1, 1), generator=generator, dtype=torch.bool)
    return torch.where(chosen.to(images.device), images.flip(3), images)


def adamw(net: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW with a weight decay of 0.02."""
    return torch.optim.AdamW(net.parameters(), lr=learning_rate, weight_decay=0.02, fused=True)


def nesterov(net: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum and a weight decay of 5e-4: for convolutions it learns faster than AdamW."""
    return torch.optim.SGD(
        net.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True
    )


def fit_classifier(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    build_optimizer: Callable[[nn.Module, float], torch.optim.Optimizer] = adamw,
    augment: Sequence[Callable[[Tensor, torch.Generator], Tensor]] = (jitter,),
    precision: torch.dtype = torch.float32,
    on_step: Callable[[int], object] = lambda images: None,
) -> None:
    """Train ``classifier`` in place with a one-cycle learning rate, augmented images and label smoothing.

    Args:
        classifier: (N, C, H, W) float in [-1, 1] -> (N, num_classes) logits.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
        epochs: Passes over the images.
        seed: Sets the order of the images and their augmentation.
        batch_size: Images per step.
        learning_rate: Peak of the cycle.
        build_optimizer: Called with the classifier and the peak of the learning rate.
        augment: Applied in turn to each batch of float images.
        precision: Of the convolutions and products.
        on_step: Called after each step with its number of images.
    """
    steps = len(labels) // batch_size
    optimizer = build_optimizer(classifier, learning_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    stream = torch_stream(seed)
    classifier.train()
    for _ in range(epochs):
        order = torch.randperm(len(labels), generator=stream)[: steps * batch_size].view(steps, batch_size)
        for index in order:
            batch = to_float(images[index])
            for change in augment:
                batch = change(batch, stream)
            with torch.autocast(images.device.type, precision, enabled=precision != torch.float32):
                loss = F.cross_entropy(classifier(batch), labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cycle.step()
            on_step(batch_size)
    classifier.eval()


@torch.inference_mode()
def accuracy(classifier: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 500) -> float:
    """Return the share of uint8 ``images`` that ``classifier`` reads as their label; leaves it in eval mode."""
    classifier.eval()
    right = sum(
        int((classifier(to_float(some)).argmax(1) == true).sum())
        for some, true in zip(images.split(batch_size), labels.split(batch_size), strict=True)
    )
    return right / len(labels)


def fused(net: T) -> T:
    """Fold each batch norm of a trained net into the convolution before it: the same numbers for less work."""
    for layers in [module for module in net.modules() if isinstance(module, nn.Sequential)]:
        for place, (layer, following) in enumerate(pairwise(list(layers))):
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                layers[place], layers[place + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return net
