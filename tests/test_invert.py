"""A written digit is found again, and a slider changes what its name says."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cgan import CganError, draw, load_generator
from cgan.data.sources import Mnist5k
from cgan.metrics.digits import DigitExtractor
from cgan.networks.light import LightGenerator
from cgan.sampling import invert as inversion
from cgan.sampling.decode import decode_image
from cgan.sampling.directions import PROPERTIES, find_directions, measure
from cgan.sampling.draw import render
from cgan.sampling.formats import png
from cgan.sampling.interpolate import blend, morph, slerp
from cgan.sampling.invert import centre, invert, target_of

# The first 20 digits of MNIST's test split, which no generator of this project was trained on.
LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4]


@pytest.fixture(scope="module")
def digits():
    strip = np.array(Image.open(Path(__file__).parent / "data" / "mnist_test_20.png"))
    return np.stack(np.split(strip, 20, axis=1))


@pytest.fixture(scope="module")
def generator():
    return load_generator("pretrained")


@pytest.mark.slow
def test_ten_real_digits_are_found_again(generator, digits):
    """Found without being given the class; each is read as the right digit and nearer than its class's mean."""
    torch.set_num_threads(1)
    train = Mnist5k().load("train")
    found = [invert(generator, centre(picture).unsqueeze(0), steps=80) for picture in digits[::2]]
    read = DigitExtractor()(torch.stack([entry.reconstruction for entry in found]))[1].argmax(1)
    assert (read == torch.tensor(LABELS[::2])).sum() >= 9
    for entry, label in zip(found, LABELS[::2], strict=True):
        mean = train.images[train.labels == label].float().mean(0)
        assert entry.error < (mean - entry.target.float()).div(255).square().mean()


def test_a_given_class_is_kept_and_progress_is_reported(generator, digits):
    shares = []
    found = invert(generator, centre(digits[18]).unsqueeze(0), label=3, steps=8, progress=shares.append)
    assert found.label == 3
    assert found.z.shape == (generator.z_dim,)
    assert shares == [step / 8 for step in range(9)]
    again = render(generator, found.z.unsqueeze(0), torch.tensor([3]))[0]
    assert (again.int() - found.reconstruction.int()).abs().max() <= 1
    assert found.error == pytest.approx(
        float((again.float() - found.target.float()).div(255).square().mean()), abs=1e-4
    )


def test_a_digit_of_mnist_hardly_changes_when_it_is_centred(digits):
    for picture in digits:
        changed = np.abs(centre(picture).numpy().astype(int) - picture)
        assert changed.mean() < 2


def test_centring_finds_ink_of_either_colour_anywhere():
    canvas = np.full((200, 300), 240, np.uint8)
    canvas[20:120, 10:30] = 30  # an upright stroke, 100 by 20, in the upper left corner
    for picture in (canvas, 255 - canvas):
        digit = centre(picture).numpy()
        rows, columns = np.nonzero(digit > 127)
        assert (rows.min(), rows.max()) == (4, 23)
        assert (columns.min(), columns.max()) == (12, 15)
        assert digit.max() == 255
    with pytest.raises(CganError, match="empty"):
        centre(np.full((50, 50), 200, np.uint8))


def test_a_great_circle_keeps_the_length_and_meets_both_ends():
    start, end = torch.tensor([3.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 5.0])
    way = slerp(start, end, torch.tensor([0.0, 1 / 3, 1.0]))
    expected = torch.tensor([[3.0, 0, 0], [11 / 3 * np.cos(np.pi / 6), 0, 11 / 3 * 0.5], [0, 0, 5]])
    assert torch.allclose(way, expected.float(), atol=1e-5)
    assert torch.allclose(slerp(start, 2 * start, torch.tensor([0.5])), 1.5 * start)


def test_a_latent_at_the_origin_has_no_direction_and_is_met_by_a_line():
    end = torch.tensor([0.0, 4.0])
    way = slerp(torch.zeros(2), end, torch.tensor([0.0, 0.25, 1.0]))
    assert way.tolist() == [[0.0, 0.0], [0.0, 1.0], [0.0, 4.0]]


def test_dots_that_vanish_in_small_are_no_digit():
    picture = np.zeros((1000, 1000), np.uint8)
    picture[3, 5] = picture[990, 980] = 255
    with pytest.raises(CganError, match="nearly empty"):
        centre(picture)


def test_a_morph_starts_and_ends_with_the_very_pictures(generator):
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(3))
    ends = render(generator, z, torch.tensor([3, 8]))
    film = morph(generator, (z[0], z[1]), (3, 8), 5)
    assert film.shape == (5, 1, 28, 28)
    assert (film[[0, -1]].int() - ends.int()).abs().max() <= 1
    assert (film[2].int() - ends.int()).abs().flatten(1).max(1).values.min() > 50
    same = morph(generator, (z[0], z[1]), (3, 3), 3)
    assert (same[0].int() - ends[0].int()).abs().max() <= 1


def test_weights_of_a_blend_are_shares(generator):
    z = torch.randn(1, generator.z_dim, generator=torch.Generator().manual_seed(4))
    weights = torch.zeros(1, 10)
    weights[0, 4] = 7.5
    assert (blend(generator, z, weights).int() - render(generator, z, torch.tensor([4])).int()).abs().max() <= 1


def test_slant_thickness_and_width_of_a_known_stroke():
    upright, slanted = torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1, 28, 28, dtype=torch.uint8)
    upright[0, 4:24, 10:14] = 255
    for row in range(4, 24):
        left = 16 - (row - 4) // 2  # half a pixel to the left per row: leans to the right
        slanted[0, row, left : left + 4] = 255
    values = measure(torch.stack([upright, slanted]))
    assert values[0, 0] == pytest.approx(0, abs=1e-5)
    assert values[1, 0] == pytest.approx(0.5, abs=0.01)
    assert values[0, 1] == pytest.approx(2 * 80 / 48, rel=0.03)
    assert values[0, 2] == pytest.approx(np.sqrt((4**2 - 1) / 12), abs=1e-4)


def test_each_direction_moves_its_own_property(generator):
    directions = find_directions(generator)
    z = torch.randn(400, generator.z_dim, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(400) % 10
    spread = measure(render(generator, z, labels)).std(0)
    for place, name in enumerate(PROPERTIES):
        vector = directions[name]
        assert float(vector.norm()) == pytest.approx(1, abs=1e-5)
        more, less = (measure(render(generator, z + amount * vector, labels)).mean(0) for amount in (2, -2))
        change = (more - less) / spread
        assert change[place] > 1
        assert change.abs().argmax() == place


def test_of_many_classes_the_best_starts_of_all_go_on(generator, digits, monkeypatch):
    """The time of a search is bounded, whatever the number of classes, and it can be ended while guesses are drawn."""
    target = centre(digits[18]).unsqueeze(0)
    monkeypatch.setattr(inversion, "_STARTS", 3)
    search = inversion._Search(generator, target, None, 8)
    z, labels = inversion._starts(search, target, range(10))
    kept = render(generator, z, labels).float().sub(target.float()).square().mean((1, 2, 3))
    monkeypatch.setattr(inversion, "_STARTS", 40)
    z, labels = inversion._starts(search, target, range(10))
    assert labels.tolist() == [label for label in range(10) for _ in range(4)]
    every = render(generator, z, labels).float().sub(target.float()).square().mean((1, 2, 3))
    assert sorted(kept.tolist()) == every.sort().values[:3].tolist()

    def end(share: float) -> None:
        raise TimeoutError(share)

    with pytest.raises(TimeoutError, match=r"0\.0"):
        invert(generator, target, progress=end)


def test_a_picture_in_colour_is_cut_to_the_models_form_and_found_again():
    """It was taken for grey ink on a ground before: a black picture with white strokes."""
    hands = load_generator("pretrained/signs")
    drawn = draw(hands, [3], seed=5)[0]
    assert torch.equal(target_of(hands, decode_image(png(drawn), hands.img_shape)), drawn)
    wide = F.pad(drawn, (32, 32), value=255)
    assert torch.equal(target_of(hands, decode_image(png(wide), hands.img_shape)), drawn), "the middle"
    found = invert(hands, drawn, label=3, steps=40)
    other = draw(hands, [3], seed=6)[0]
    assert found.error < 0.5 * float((other.float() - drawn.float()).div(255).square().mean())
    assert found.reconstruction.float().std(0).mean() > 1, "in colour"


def test_generators_of_another_shape_than_square_are_searched_in_colour_alone():
    picture = torch.arange(24 * 40 * 3, dtype=torch.int32).view(3, 24, 40).remainder(251).to(torch.uint8)
    for channels in (3, 1):
        generator = LightGenerator(num_classes=2, img_shape=(channels, 24, 40)).eval()
        decoded = decode_image(png(picture), generator.img_shape)
        if channels == 3:
            assert torch.equal(target_of(generator, decoded), picture)
        else:
            with pytest.raises(CganError, match="square"):
                target_of(generator, decoded)
