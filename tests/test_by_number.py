"""A data set that has a preset of its name, and what that preset leaves to the number of images."""

import pytest
import torch
from PIL import Image

from cgan.cli.overrides import with_preset
from cgan.runs import train
from cgan.tasks.by_number import choose_by_number


@pytest.fixture
def photos(tmp_path):
    """Two classes of 11 and 7 colour pictures."""
    for name, count in (("red", 11), ("blue", 7)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            colour = (200 + number, 0, 0) if name == "red" else (0, 0, 200 + number)
            Image.new("RGB", (16, 16), colour).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("typed", "preset"),
    [
        (["data=folder", "data.root=x"], "experiment=folder"),
        (["data=cifar10"], "experiment=cifar10"),
        (["data=mnist"], None),
        (["seed=3"], None),
        (["data=folder", "model=mlp"], None),
        (["data=folder", "experiment=light"], None),
        (["data=folder,cifar10"], None),
    ],
)
def test_a_data_set_takes_the_preset_of_its_name_unless_one_is_chosen(typed, preset):
    assert with_preset(typed) == ([preset, *typed] if preset else typed)


@pytest.mark.parametrize(("below", "augment"), [(17, True), (16, False)])
def test_length_grids_and_augmentation_follow_from_the_number_of_images(composed, photos, below, augment):
    cfg = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", f"augment.below={below}")
    line = choose_by_number(cfg)
    name = "diffaugment" if augment else "none"
    assert line == f"Chosen for 16 training images: trainer.max_epochs=400, augment={name}"
    assert (cfg.trainer.max_epochs, cfg.callbacks.sample_grid.every_n_epochs) == (400, 10)
    assert (cfg.augment is not None) == augment


def test_a_run_without_open_choices_is_left_as_it_is(composed):
    assert choose_by_number(composed("train", "data=mnist5k")) is None


def test_what_is_typed_counts_and_the_preset_trains_a_folder(photos, tmp_path):
    run = train(
        *("data=folder", f"data.root={photos}", "data.batch_size=8", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
        *("quality=none", "callbacks.progress=null"),
        folder=tmp_path / "run",
    )
    log = (tmp_path / "run" / "run.json").read_text()
    assert "max_epochs=2" in log
    images = run.grid(n=2)
    assert images.mode == "RGB"
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["cgan"]
    assert state["images_seen"] == 2 * 16
    assert type(run.generator).__name__ == "LightGenerator"


@pytest.mark.parametrize("preset", ["cifar10", "cifar100", "svhn", "stl10", "celeba"])
def test_presets_of_known_data_sets_name_their_data(composed, preset):
    cfg = composed("train", f"experiment={preset}")
    assert cfg.trainer.max_epochs == "auto"
    assert preset in cfg.data.source.get("dataset", "CelebA").lower()
