import io
import json

import pytest
import torch
from conftest import TINY_UNMEASURED
from PIL import Image

from cgan.augment import AdaptiveAugment, DiffAugment, colour, cutout, translation
from cgan.callbacks.curves import draw_curves
from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.files import read_lines
from cgan.tasks.build import build_module
from cgan.tasks.train import run


@pytest.fixture
def images() -> torch.Tensor:
    torch.manual_seed(3)
    return torch.rand(40, 3, 16, 24) * 1.6 - 0.8


def test_colour_changes_mean_saturation_and_contrast_within_their_ranges(images):
    changed = colour(images)
    shift = changed.mean((1, 2, 3)) - images.mean((1, 2, 3))
    assert -0.5 <= shift.min() < -0.3
    assert 0.3 < shift.max() <= 0.5
    grey = images.mean(1, keepdim=True)
    contrast = changed.mean(1).std((1, 2)) / grey[:, 0].std((1, 2))  # the grey part knows no saturation
    assert 0.5 <= contrast.min() < 0.6
    assert 1.4 < contrast.max() <= 1.5
    saturation = (changed - changed.mean(1, keepdim=True)).std((1, 2, 3)) / (images - grey).std((1, 2, 3)) / contrast
    assert saturation.min() < 0.2
    assert 1.8 < saturation.max() <= 2.0 + 1e-4


def test_an_alpha_channel_keeps_its_values(images):
    alpha = torch.full((40, 1, 16, 24), 0.3)
    assert torch.equal(colour(torch.cat([images, alpha], 1))[:, 3:], alpha)


def test_translation_moves_by_an_eighth_at_most_and_grey_moves_in(images):
    changed = translation(images)
    seen = set()
    for before, after in zip(images, changed, strict=True):
        shifts = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-3, 4)
            if torch.equal(
                after[:, max(-down, 0) : 16 - max(down, 0), max(-right, 0) : 24 - max(right, 0)],
                before[:, max(down, 0) : 16 + min(down, 0), max(right, 0) : 24 + min(right, 0)],
            )
        ]
        assert len(shifts) == 1
        seen.add(shifts[0])
        assert int((after == 0).sum()) == 3 * (16 * 24 - (16 - abs(shifts[0][0])) * (24 - abs(shifts[0][1])))
    assert {down for down, _ in seen} == set(range(-2, 3))
    assert {right for _, right in seen} == set(range(-3, 4))


def test_cutout_covers_half_the_sides_at_most(images):
    changed = cutout(images)
    covered = (changed == 0).all(1)
    heights, widths = covered.any(2).sum(1), covered.any(1).sum(1)
    assert heights.max() == 8
    assert widths.max() == 12
    assert heights.min() >= 4  # at least half of the rectangle lies inside
    assert torch.equal(covered.sum((1, 2)), heights * widths)
    seen = ~covered[:, None].expand_as(images)
    assert torch.equal(changed[seen], images[seen])


@pytest.mark.parametrize("augment", [DiffAugment(), AdaptiveAugment()])
def test_gradients_reach_the_images(augment, images):
    if isinstance(augment, AdaptiveAugment):
        augment.strength.fill_(0.5)
    images.requires_grad_()
    augment(images).sum().backward()
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().sum(1) > 0).all()


def test_the_strength_is_the_share_of_images_that_are_changed():
    torch.manual_seed(0)
    augment, images = AdaptiveAugment(["cutout"]), torch.ones(4000, 1, 8, 8)
    assert torch.equal(augment(images), images)
    augment.strength.fill_(0.3)
    changed = (augment(images) != images).flatten(1).any(1).double().mean()
    assert abs(float(changed) - 0.3) < 0.03


def test_the_strength_follows_overfitting_and_stays_within_its_limit():
    augment = AdaptiveAugment(target=0.5, ramp_images=1000, limit=0.8)
    augment.adapt(torch.tensor(0.6), 64)
    assert float(augment.strength) == pytest.approx(0.064)
    augment.adapt(torch.tensor(0.4), 32)
    assert float(augment.strength) == pytest.approx(0.032)
    augment.adapt(torch.tensor(0.4), 64)
    assert float(augment.strength) == 0
    for _ in range(20):
        augment.adapt(torch.tensor(0.9), 64)
    assert float(augment.strength) == pytest.approx(0.8)


def heights(folder):
    """Return the rows of panels of a run's curves, as it is and without what its augmentation logged."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    with_it = Image.open(io.BytesIO(draw_curves(folder))).height
    (folder / "bare").mkdir()
    bare = [{tag: value for tag, value in row.items() if "augment" not in tag and "overfit" not in tag} for row in rows]
    (folder / "bare" / "metrics.jsonl").write_text("\n".join(map(json.dumps, bare)))
    return [round(size / 256) for size in (with_it, Image.open(io.BytesIO(draw_curves(folder / "bare"))).height)]


def test_a_run_stores_the_strength_and_goes_on_with_it(composed, tmp_path):
    options = ["model=light", "augment=ada", "augment.target=-0.99", "augment.ramp_images=1000", *TINY_UNMEASURED]
    result = run(composed("train", *options))
    last = result.folder / "checkpoints" / "last.ckpt"
    stored = torch.load(last, weights_only=True)["state_dict"]["augment.strength"]
    assert 0 < float(stored) <= 0.8
    images = 32 * 12  # 400 digits in batches of 32
    assert float(stored) == pytest.approx(images / 1000, abs=1e-6)
    rows = read_lines(tmp_path / "metrics.jsonl")
    (logged,) = [row["training/augment_strength"] for row in rows if "training/augment_strength" in row]
    assert logged == pytest.approx(0.208), "on the curves: the mean of 32, 64, ..., 384 thousandths"
    assert heights(tmp_path) == [2, 1], "a row of panels more than without"
    resumed = composed("train", *options, "trainer.max_epochs=2", f"ckpt={last}", folder=tmp_path / "resumed")
    run(resumed)
    again = torch.load(tmp_path / "resumed/checkpoints/last.ckpt", weights_only=True)["state_dict"]["augment.strength"]
    assert float(again) == pytest.approx(2 * images / 1000, abs=1e-6)


def test_a_resumed_run_may_take_an_augmentation_up_or_leave_it_out(composed, tmp_path):
    options = ["model=light", *TINY_UNMEASURED]
    ada = ["augment=ada", "augment.target=-0.99", "augment.ramp_images=1000"]
    checkpoints = [tmp_path / name / "checkpoints/last.ckpt" for name in ("without", "with", "without_again")]
    for number, (last, words) in enumerate(zip(checkpoints, ([], ada, []), strict=True), start=1):
        before = [f"ckpt={checkpoints[number - 2]}"] if number > 1 else []
        run(composed("train", *options, *words, *before, f"trainer.max_epochs={number}", folder=last.parents[1]))
    without, with_it, again = (torch.load(last, weights_only=True)["state_dict"] for last in checkpoints)
    assert with_it.keys() - without.keys() == {"augment.strength"}
    assert float(with_it["augment.strength"]) == pytest.approx(32 * 12 / 1000, abs=1e-6), "from 0 when it was taken up"
    assert again.keys() == without.keys()


def test_an_unknown_transform_is_one_clear_line(composed):
    with pytest.raises(CganError, match=r"augment.transforms=flip: expected one of colour, translation, cutout"):
        build_module(composed("train", "augment=diffaugment"), Mnist5k().spec) and DiffAugment(["flip"])


@pytest.mark.parametrize("target", [-1, 1, 1.5])
def test_a_target_that_no_strength_can_hold_is_refused(target):
    with pytest.raises(CganError, match=rf"^augment.target={target}: expected a number above -1 and below 1$"):
        AdaptiveAugment(target=target)


def test_one_transform_may_be_typed_without_brackets():
    assert DiffAugment("cutout").transforms == [cutout]
    with pytest.raises(CganError, match=r"^augment\.transforms=flip: expected one of colour, translation, cutout$"):
        DiffAugment("flip")
