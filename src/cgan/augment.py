"""Differentiable augmentation of all that the discriminator sees: it cannot learn by heart what it never sees twice."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgan.errors import check_choice, check_number

GREY = 0.0


def colour(images: Tensor) -> Tensor:
    """Change brightness by up to 0.5, saturation by a factor from 0 to 2 and contrast by one from 0.5 to 1.5.

    Images are (N, C, H, W) in [-1, 1]; an alpha channel stays.
    """
    seen, alpha = images[:, :3], images[:, 3:]
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    seen = seen + (brightness - 0.5)
    seen = torch.lerp(seen.mean(1, keepdim=True), seen, 2 * saturation)
    seen = torch.lerp(seen.mean((1, 2, 3), keepdim=True), seen, contrast + 0.5)
    return torch.cat([seen, alpha], dim=1)


def translation(images: Tensor) -> Tensor:
    """Shift each image, (N, C, H, W), by up to an eighth of its sides; grey moves in."""
    count, channels, height, width = images.shape
    most_y, most_x = round(height / 8), round(width / 8)
    down, right = (torch.randint(0, 2 * most + 1, (count, 1), device=images.device) for most in (most_y, most_x))
    padded = F.pad(images, [most_x, most_x, most_y, most_y], value=GREY)
    # A window of the images' size moves over the padded ones.
    rows = (down + torch.arange(height, device=images.device)).view(count, 1, height, 1)
    columns = (right + torch.arange(width, device=images.device)).view(count, 1, 1, width)
    image = torch.arange(count, device=images.device).view(count, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[image, channel, rows, columns]


def cutout(images: Tensor) -> Tensor:
    """Cover a rectangle of half the sides of each image, (N, C, H, W), with grey; part of it may lie outside."""
    covered = []
    for place, side in enumerate(images.shape[2:]):
        start = torch.randint(-(side // 4), side - side // 4 + 1, (len(images), 1), device=images.device)
        pixel = torch.arange(side, device=images.device)
        inside = (pixel >= start) & (pixel < start + side // 2)
        covered.append(inside.view(len(images), 1, *((side, 1) if place == 0 else (1, side))))
    return images.masked_fill(covered[0] & covered[1], GREY)


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {"colour": colour, "translation": translation, "cutout": cutout}


class DiffAugment(nn.Module):
    """Change every image, real and generated (Zhao et al. 2020, arXiv:2006.10738).

    Args:
        transforms: Any of ``colour``, ``translation``, ``cutout``; applied in this order.

    Raises:
        CganError: There is no such transform.
    """

    def __init__(self, transforms: Sequence[str] = ("colour", "translation", "cutout")) -> None:
        super().__init__()
        transforms = [transforms] if isinstance(transforms, str) else transforms  # one is typed without brackets
        for name in transforms:
            check_choice("augment.transforms", name, TRANSFORMS)
        self.transforms = [TRANSFORMS[name] for name in transforms]

    def forward(self, images: Tensor) -> Tensor:
        """Change images: (N, C, H, W) in [-1, 1] -> (N, C, H, W), differentiable; colours may leave [-1, 1]."""
        for transform in self.transforms:
            images = transform(images)
        return images


class AdaptiveAugment(DiffAugment):
    """Apply each transform to a share of the images that follows the discriminator's overfitting.

    After Karras et al. 2020, arXiv:2006.06676, section 3.1. Overfitting is measured by how surely the discriminator
    ranks real above generated images, which needs no zero point and so fits relativistic losses too.

    Args:
        transforms: As in :class:`DiffAugment`.
        target: The overfitting to hold: the mean of ``sign(real logit - generated logit)``, between -1 and 1.
        ramp_images: Training images within which the strength can rise from 0 to 1.
        limit: The largest strength; above about 0.8 the generator learns the transforms themselves.

    Attributes:
        strength: The probability of each transform, 0 to ``limit``; part of the checkpoint.
    """

    strength: Tensor

    def __init__(
        self,
        transforms: Sequence[str] = ("colour", "translation", "cutout"),
        target: float = 0.6,
        ramp_images: int = 100_000,
        limit: float = 0.8,
    ) -> None:
        super().__init__(transforms)
        # At either end the strength would only ever move one way.
        check_number("augment.target", target, -1, 1, above=True, below=True)
        check_number("augment.ramp_images", ramp_images, 1)
        check_number("augment.limit", limit, 0, 1)
        self.target = target
        self.ramp_images = ramp_images
        self.limit = limit
        self.register_buffer("strength", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        """Change some of the images: (N, C, H, W) in [-1, 1] -> (N, C, H, W), differentiable."""
        for transform in self.transforms:
            chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < self.strength
            images = torch.where(chosen, transform(images), images)
        return images

    def adapt(self, overfitting: Tensor, images: int) -> None:
        """Raise or lower the strength.

        Args:
            overfitting: Scalar, -1 to 1, of the latest step.
            images: Number of images that the step saw.
        """
        step = torch.sign(overfitting - self.target) * images / self.ramp_images
        self.strength.add_(step).clamp_(0, self.limit)
