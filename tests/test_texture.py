"""Numbers of the pixels on staged images: each says which fault it is for, and what it does not see."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from cgan.data.sources import Mnist5k
from cgan.metrics.features import Features
from cgan.metrics.metric import RealImages
from cgan.metrics.texture import PatchDistance, Spectrum, ThumbnailDistance

METRICS = (PatchDistance, ThumbnailDistance, Spectrum)
EXAMPLE = Path(__file__).parents[1] / "examples" / "faults_of_pictures.py"
FAULTS = runpy.run_path(str(EXAMPLE))["FAULTS"] | {"striped": lambda images: images.float() + 16 * _stripes(images)}
GREY = ("as_they_are", "blurred", "dotted", "striped")


def features_of(images: Tensor) -> Features:
    """Images alone: nothing else is read."""
    n = len(images)
    return Features(torch.zeros(n, dtype=torch.long), torch.zeros(n, 1), torch.zeros(n, 2), images)


def _stripes(images: Tensor) -> Tensor:
    """Vertical stripes, two columns of every four."""
    return torch.arange(images.shape[3]) % 4 < 2


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
    faults = list(FAULTS) if request.param == "colour" else GREY
    changed = {fault: FAULTS[fault](test).clamp(0, 255).byte() for fault in faults}
    return {fault: measured(train, images) for fault, images in changed.items()}


def test_the_example_writes_the_same_pictures_with_each_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, str(tmp_path / "faults"), "data=mnist5k"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    files = {path.stem: np.load(path) for path in (tmp_path / "faults").iterdir()}
    assert set(files) == set(FAULTS) - {"striped"}
    for name, file in files.items():
        assert file["images"].shape == (1000, 28, 28)
        assert (file["labels"] == files["as_they_are"]["labels"]).all()
        assert (file["images"] == files["as_they_are"]["images"]).all() == (name not in ("blurred", "dotted"))
    for words, said in (([], "error: expected a new folder and data="), (["x", "data=mnits"], "error: .*mnits")):
        monkeypatch.setattr(sys, "argv", [EXAMPLE.name, *words])
        with pytest.raises(SystemExit, match=said):
            runpy.run_path(str(EXAMPLE), run_name="__main__")


def test_real_images_are_near_and_have_the_energy_of_real_images(staged):
    assert staged["as_they_are"]["patch_fid"] < 0.01
    assert staged["as_they_are"]["spectrum_2"] == pytest.approx(1, abs=0.05)
    assert staged["as_they_are"]["spectrum_4"] == pytest.approx(1, abs=0.05)


def test_a_blur_takes_energy_and_moves_the_patches(staged):
    blurred, real = staged["blurred"], staged["as_they_are"]
    assert max(blurred["spectrum_2"], blurred["spectrum_4"]) < 0.1
    assert blurred["patch_fid"] > 40 * real["patch_fid"]
    assert blurred["thumbnail_fid"] < 4 * real["thumbnail_fid"]


def test_a_faint_screen_of_dots_or_stripes_shows_at_its_period(staged):
    dotted, striped = staged["dotted"], staged["striped"]
    assert dotted["spectrum_2"] > 4
    assert dotted["spectrum_4"] == pytest.approx(1, abs=0.05)
    assert striped["spectrum_4"] > 1.5
    assert striped["spectrum_2"] == pytest.approx(1, abs=0.1)
    assert dotted["patch_fid"] > 20 * staged["as_they_are"]["patch_fid"]


def test_colours_move_patches_and_thumbnails_and_no_spectrum(staged):
    if "greyed" not in staged:
        pytest.skip("grey images have no colours")
    real = staged["as_they_are"]
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
