"""Numbers of the pixels on staged images: each says which fault it is for, and what it does not see."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cgan.data.sources import Mnist5k
from cgan.metrics.features import Features
from cgan.metrics.metric import RealImages
from cgan.metrics.texture import PatchDistance, Spectrum, ThumbnailDistance

METRICS = (PatchDistance, ThumbnailDistance, Spectrum)
FAULTS = {
    "real": lambda images: images,
    "blurred": lambda images: F.avg_pool2d(images.float(), 3, 1, 1).byte(),
    "dotted": lambda images: _screened(images, _grid(images, 2, 0)),
    "striped": lambda images: _screened(images, _grid(images, 4, 1)),
    "greyed": lambda images: images.float().mean(1, keepdim=True).expand_as(images).byte(),
    "recoloured": lambda images: images.roll(1, 1),
}


def features_of(images: Tensor) -> Features:
    """Images alone: nothing else is read."""
    n = len(images)
    return Features(torch.zeros(n, dtype=torch.long), torch.zeros(n, 1), torch.zeros(n, 2), images)


def _grid(images: Tensor, period: int, free_rows: int) -> Tensor:
    """Dots of a period, or vertical stripes where all rows are free."""
    down, across = (torch.arange(side) % period < period // 2 for side in images.shape[2:])
    return across & (down[:, None] | bool(free_rows))


def _screened(images: Tensor, where: Tensor) -> Tensor:
    return (images.float() + 16 * where).clamp(0, 255).byte()


def coloured(images: Tensor, seed: int) -> Tensor:
    """28x20 digits in reddish colours of their own."""
    colours = torch.rand(len(images), 3, 1, 1, generator=torch.Generator().manual_seed(seed))
    return (images[..., 4:24].float() * colours * torch.tensor([1, 0.7, 0.4]).view(3, 1, 1)).byte()


def measured(train: Tensor, images: Tensor) -> dict[str, float]:
    real, values = RealImages(features_of(train), features_of(images), len(images)), {}
    for metric in (kind() for kind in METRICS):
        metric.prepare(real)
        values |= metric.compute(features_of(images), real.reference)
    return values


@pytest.fixture(scope="module", params=["grey", "colour"])
def staged(request) -> dict[str, dict[str, float]]:
    train, test = (Mnist5k(200).load(split).images for split in ("train", "test"))
    if request.param == "colour":
        train, test = coloured(train, 0), coloured(test, 1)
    faults = list(FAULTS) if request.param == "colour" else list(FAULTS)[:4]
    return {fault: measured(train, FAULTS[fault](test)) for fault in faults}


def test_real_images_are_near_and_have_the_energy_of_real_images(staged):
    assert staged["real"]["patch_fid"] < 0.01
    assert staged["real"]["spectrum_2"] == pytest.approx(1, abs=0.05)
    assert staged["real"]["spectrum_4"] == pytest.approx(1, abs=0.05)


def test_a_blur_takes_energy_and_moves_the_patches(staged):
    blurred, real = staged["blurred"], staged["real"]
    assert max(blurred["spectrum_2"], blurred["spectrum_4"]) < 0.1
    assert blurred["patch_fid"] > 40 * real["patch_fid"]
    assert blurred["thumbnail_fid"] < 4 * real["thumbnail_fid"]


def test_a_faint_screen_of_dots_or_stripes_shows_at_its_period(staged):
    dotted, striped = staged["dotted"], staged["striped"]
    assert dotted["spectrum_2"] > 4
    assert dotted["spectrum_4"] == pytest.approx(1, abs=0.05)
    assert striped["spectrum_4"] > 1.5
    assert striped["spectrum_2"] == pytest.approx(1, abs=0.1)
    assert dotted["patch_fid"] > 20 * staged["real"]["patch_fid"]


def test_colours_move_patches_and_thumbnails_and_no_spectrum(staged):
    if "greyed" not in staged:
        pytest.skip("grey images have no colours")
    real = staged["real"]
    for fault in ("greyed", "recoloured"):
        assert staged[fault]["patch_fid"] > 100 * real["patch_fid"]
        assert staged[fault]["thumbnail_fid"] > 10 * real["thumbnail_fid"]
        assert staged[fault]["spectrum_2"] == pytest.approx(1, abs=0.3)


def test_a_plain_area_moves_the_distances_by_the_square_of_its_shade():
    """Without spread the distance is that of the means: 16 pixels of each patch, 64 of each thumbnail, by 0.4 each."""
    dark, bright = (torch.full((30, 1, 9, 14), shade, dtype=torch.uint8) for shade in (51, 102))
    values = measured(dark, bright)
    assert values["patch_fid"] == pytest.approx(16 * 0.4**2)
    assert values["thumbnail_fid"] == pytest.approx(64 * 0.4**2)


def test_the_energy_of_a_known_wave():
    """A row of 0, a, 0, a has the energy a^2 L / 4 at period 2; twice the amplitude is four times the energy."""
    wave = torch.tensor([0, 1]).repeat(7).expand(5, 3, 6, 14)
    faint, strong = ((wave * level).byte() for level in (20, 40))
    values = measured(faint, strong)
    assert values["spectrum_2"] == pytest.approx(4, rel=1e-3)
    assert values["spectrum_4"] == pytest.approx(1, rel=1e-3), "neither has any"


@pytest.mark.parametrize("few", [3, 251])
def test_the_energy_does_not_depend_on_the_number_of_images(few):
    image = torch.randint(0, 256, (1, 1, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    values = measured(image.expand(700, 1, 8, 12), image.expand(few, 1, 8, 12))
    assert values["spectrum_2"] == pytest.approx(1, rel=1e-4)
    assert values["spectrum_4"] == pytest.approx(1, rel=1e-4)
