import subprocess
import sys

import numpy as np
import pytest
import torch

from cgan.networks.light import LightGenerator
from cgan.networks.mlp import MLPGenerator
from cgan.sampling.draw import draw
from cgan.sampling.grids import image_grid
from cgan.sampling.noise import fixed_latents, latents


@pytest.fixture(scope="module", params=[MLPGenerator, LightGenerator])
def generator(request):
    torch.manual_seed(0)
    return request.param(num_classes=10, img_shape=(1, 28, 28)).eval()


def close(a, b):
    """Equal up to one grey level: sums in another order may round differently."""
    return (a.int() - b.int()).abs().max() <= 1


def test_a_seed_names_a_picture_in_any_batch_and_order(generator):
    sevens = draw(generator, [7] * 5, seed=4)
    mixed = draw(generator, [3, 7, 7, 1, 7], seed=4)
    assert close(mixed[[1, 2, 4]], sevens[:3])
    assert close(draw(generator, [7], seed=4), sevens[:1])
    assert not close(draw(generator, [7], seed=5), sevens[:1])
    assert not close(sevens[:1], sevens[1:2])


def test_batch_size_does_not_matter(generator):
    from cgan.sampling.draw import render

    z, labels = fixed_latents(7, generator.z_dim, seed=0), torch.arange(7)
    assert close(render(generator, z, labels, batch_size=2), render(generator, z, labels))


def test_latents_of_a_class_do_not_depend_on_the_other_classes():
    alone = latents(torch.tensor([4, 4, 4]), 6, seed=1)
    among = latents(torch.tensor([0, 4, 9, 4, 0]), 6, seed=1)
    assert torch.equal(among[[1, 3]], alone[:2])
    assert not torch.equal(among[0], alone[0])


def test_latents_are_standard_normal():
    z = latents(torch.zeros(2000, dtype=torch.long), 50, seed=0)
    assert z.mean().abs() < 0.01
    assert z.std().item() == pytest.approx(1, abs=0.01)


def test_known_latents_stay_what_they_are():
    """Seeds are promises: a change of this value would rename every picture ever drawn."""
    expected = [-0.7647998929023743, -0.29096803069114685, -0.08540532737970352]
    np.testing.assert_allclose(latents(torch.tensor([7]), 3, seed=0)[0], expected, rtol=1e-6)


def test_truncation_zero_draws_one_picture(generator):
    images = draw(generator, [5, 5, 5], seed=0, truncation=0.0)
    assert close(images[:1], images[1:2])


def test_a_grid_lays_images_out_row_by_row():
    images = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    images[4] = 200
    picture = np.asarray(image_grid(images, columns=3, scale=1))
    assert picture.shape == (2 + 2 * 6, 2 + 3 * 6), "grey"
    assert (picture[8:12, 8:12] == 200).all()
    assert (picture[2:6, 2:6] == 0).all()
    assert (picture[8:12, 14:18] == 255).all()  # no sixth image


def test_a_grid_of_colours_keeps_them_beside_its_names():
    images = torch.zeros(3, 4, 3, 5, dtype=torch.uint8)
    images[:, 1], images[:, 3, :2] = 90, 255  # green, the last row transparent
    picture = np.asarray(image_grid(images, columns=2, names=["a", "b", "c"], row_names=["x", "y"], scale=2))
    left, cell = picture.shape[1] - 2 * 12, 2 * 3 + 2 + 20
    assert picture.shape == (2 + 2 * cell, left + 2 * 12, 3)
    last = picture[2 + cell + 20 : 2 + 2 * cell - 2, left : left + 10]
    assert (last[:4] == (0, 90, 0)).all()
    assert (last[4:] == 255).all()
    assert (picture[2 + cell :, left + 12 :] == 255).all(), "no fourth image"
    assert (picture[2:22, left : left + 12] < 200).any(), "a name"


def test_drawing_imports_neither_lightning_nor_torchvision_nor_a_compiler():
    slow = ("lightning", "torchvision", "torchmetrics", "torch._dynamo")
    drawing = "; ".join(f"cgan.draw(cgan.load_generator({name!r}), [7])" for name in ("pretrained", "pretrained/signs"))
    code = f"import sys, cgan; {drawing}; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
