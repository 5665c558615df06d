"""A data set that has a preset of its name, and what that preset leaves to the number of images."""

import pytest
import torch
from hydra.errors import InstantiationException
from PIL import Image

from cgan.cli.overrides import with_preset
from cgan.data.build import build_source
from cgan.errors import CganError
from cgan.records.run import read_run
from cgan.runs import train
from cgan.tasks import start_values
from cgan.tasks.start_values import choose_for_length, choose_start_values, starts


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
        (["data=cifar10", "debug=one_batch"], "experiment=cifar10"),
        (["data=mnist"], None),
        (["seed=3"], None),
        (["data=folder", "model=mlp"], None),
        (["data=folder", "experiment=light"], None),
        (["data=folder,cifar10"], None),
    ],
)
def test_a_data_set_takes_the_preset_of_its_name_unless_one_is_chosen(typed, preset):
    assert with_preset(typed) == ([preset, *typed] if preset else typed)


@pytest.fixture(autouse=True)
def plain_processor(monkeypatch):
    """A machine without GPU that does not multiply in bfloat16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(start_values, "multiplies_bfloat16", lambda: False)


def test_a_number_of_images_that_is_none_is_refused(composed, photos):
    cfg = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", "augment.below=abc")
    with pytest.raises(CganError, match=r"^augment\.below=abc: expected a whole number from 1$"):
        choose_start_values(cfg)


ADA = [
    "  augment=ada: fewer than 17 images; experiment=few takes faster networks for so few",
    "  augment.transforms=[colour,translation,cutout]: all, for images in colour",
]


@pytest.mark.parametrize(("below", "said"), [(17, ADA), (16, ["  augment=none: not fewer than 16 images"])])
def test_length_grids_and_augmentation_follow_from_the_number_of_images(composed, photos, below, said):
    cfg = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", f"augment.below={below}")
    lines = choose_start_values(cfg).lines
    assert lines.splitlines() == [
        "Chosen for 16 training images of 3x16x16; what is typed counts instead:",
        "  trainer.max_epochs=400: 6,400 images in all",
        "  data.batch_size=8: 64 below 20,000 images, 128 from there on; at most half of them",
        "  optimizer.lr=0.00071: 0.002; less for batches below 64 or images larger than 3x64x64",
        "  penalty.gamma=0.3: 0.3 at 1x28x28, more with the root of the size; 3 for styles from 20,000 images on",
        "  schedule.penalty.until=0.2: the penalty falls within 20,000 images, or a fifth of the run",
        "  gan.matching_aware=0.1: of images with wrong classes 0.3, below 20,000 images 0.1",
        "  gan.ema_half_life_images=320: a twentieth of 6,400 images",
        "  trainer.precision=32-true: this processor is not known to multiply in bfloat16",
        *said,
    ]
    assert (cfg.trainer.max_epochs, cfg.callbacks.sample_grid.every_n_epochs) == (400, 10)
    short = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", "max_images=640")
    choose_start_values(short)
    assert short.callbacks.sample_grid.every_n_epochs == 1, "40 epochs of 16 images"
    assert (cfg.data.batch_size, cfg.optimizer.d.lr, cfg.optimizer.g.lr) == (8, 7.1e-4, 7.1e-4)
    assert (cfg.penalty.gamma, cfg.gan.ema_half_life_images) == (0.3, 320)
    assert (cfg.augment is not None) == (said is ADA)


@pytest.mark.parametrize(
    ("count", "values", "expected"),
    [
        (60_000, 784, [17, 128, 2e-3, 3, 0.02, 0.3, 51_000]),
        (2_062, 3 * 64 * 64, [49, 64, 2e-3, 1.2, 0.2, 0.1, 5_051]),
        (19_999, 3 * 128 * 128, [10, 64, 1e-3, 2.4, 0.1, 0.1, 9_999]),
        (20_000, 3 * 32 * 32, [50, 128, 2e-3, 3, 0.02, 0.3, 50_000]),
        (30, 784, [400, 8, 7.1e-4, 0.3, 0.2, 0.1, 600]),
        (1, 784, [400, 1, 2.5e-4, 0.3, 0.2, 0.1, 20]),
    ],
)
def test_start_values_follow_size_and_number(count, values, expected):
    assert [start.value for start in starts(count, values, 2, styled=True)] == expected
    of_one_class = [*expected[:5], 0.0, expected[6]]  # there are no wrong classes
    assert [start.value for start in starts(count, values, 1, styled=True)] == of_one_class


@pytest.mark.parametrize(("model", "gamma"), [("style", 3.0), ("light", 0.59)])
def test_gamma_of_many_images_follows_the_generator(composed, photos, monkeypatch, model, gamma):
    monkeypatch.setattr(start_values, "FEW", 16)
    typed = ["experiment=folder", "data=folder", f"data.root={photos}", "data.size=32", f"model={model}"]
    cfg = composed("train", *typed)
    choose_start_values(cfg)
    assert cfg.penalty.gamma == gamma


def test_a_length_that_is_typed_leaves_the_epochs_unsaid(composed, photos):
    lines = choose_start_values(
        composed("train", "experiment=folder", "data=folder", f"data.root={photos}", "budget=1h")
    ).lines
    assert "max_epochs" not in lines
    assert "penalty.gamma=0.3" in lines
    assert starts(16, 768, 2, 1000)[-1].value == 50, "the average follows the typed length"
    cfg = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", "trainer.max_epochs=100")
    choose_start_values(cfg)
    assert cfg.gan.ema_half_life_images == 80, "of 100 epochs of 16 images"
    assert starts(5000, 768, 2, batch=16)[2].value == 1e-3, "the learning rate follows the typed batch"


@pytest.mark.parametrize(
    ("typed", "gpu", "fast", "precision"),
    [
        ([], False, True, "bf16-mixed"),
        ([], False, False, "32-true"),
        ([], True, True, "bf16-mixed"),
        ([], True, False, "32-true"),
        (["trainer=auto"], False, True, "32-true"),
        (["trainer=cpu_bf16"], False, False, "bf16-mixed"),
        (["trainer.precision=32-true"], False, True, "32-true"),
    ],
)
def test_precision_follows_from_what_the_device_multiplies_in(
    composed, photos, monkeypatch, typed, gpu, fast, precision
):
    monkeypatch.setattr(start_values, "multiplies_bfloat16", lambda: fast and not gpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast and gpu)
    cfg = composed("train", "experiment=folder", "data=folder", f"data.root={photos}", *typed)
    lines = choose_start_values(cfg).lines
    assert cfg.trainer.precision == precision
    assert ("trainer.precision" in lines) == (not typed)


def test_presets_augment_few_images_and_say_so(composed):
    few, many = composed("train", "experiment=quickstart"), composed("train", "experiment=light", "augment.below=4000")
    assert choose_start_values(few).lines.splitlines() == [
        "Chosen for 4,000 training images of 1x28x28; what is typed counts instead:",
        "  augment=ada: fewer than 20,000 images",
        "  augment.transforms=[translation,cutout]: grey images keep their shades",
    ]
    assert few.augment.transforms == ["translation", "cutout"]
    assert few.augment._target_ == "cgan.augment.AdaptiveAugment"
    typed = composed("train", "data=mnist5k", "augment=diffaugment", "augment.transforms=auto")
    choose_start_values(typed)
    assert typed.augment.transforms == ["translation", "cutout"]
    none = composed("train", "data=mnist5k", "augment=none", "+augment.transforms=auto")
    assert choose_start_values(none) is None, "there is nothing to choose for"
    many.data.source = few.data.source
    assert (choose_start_values(many).lines, many.augment) == ("", None)


def test_a_run_without_open_choices_is_left_as_it_is(composed):
    assert choose_start_values(composed("train", "data=mnist5k")) is None


@pytest.mark.parametrize(
    ("preset", "generator"), [("data=folder", "StyleGenerator"), ("experiment=few", "LightGenerator")]
)
def test_what_is_typed_counts_and_the_preset_trains_a_folder(photos, tmp_path, preset, generator):
    """The second preset has a length in images: the typed epochs take its place."""
    run = train(
        *(preset, f"data.root={photos}", "data.batch_size=8", "trainer.max_epochs=2", "trainer.accelerator=cpu"),
        *("quality=none", "callbacks.progress=null"),
        folder=tmp_path / "run",
    )
    log = (tmp_path / "run" / "run.json").read_text()
    assert "max_epochs=2" in log
    images = run.grid(n=2)
    assert images.mode == "RGB"
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["cgan"]
    assert state["images_seen"] == 2 * 16
    assert type(run.generator).__name__ == generator


def test_a_length_that_is_none_is_refused_before_it_is_counted_with(photos, tmp_path):
    with pytest.raises(CganError, match="max_images=abc: expected a whole number from 1"):
        train("data=folder", f"data.root={photos}", "max_images=abc", folder=tmp_path / "run")


def test_what_depends_on_the_length_waits_for_that_of_a_budget(composed, photos):
    """`max_images=` with the number that a budget has become is the same run."""
    words = ["experiment=folder", "data=folder", f"data.root={photos}", "data.cache=none"]
    of_budget, of_images = composed("train", *words, "budget=10min"), composed("train", *words, "max_images=400000")
    chosen, same = choose_start_values(of_budget), choose_start_values(of_images)
    assert "penalty.gamma" in chosen.lines
    assert "schedule.penalty.until" not in chosen.lines
    assert "schedule.penalty.until=0.05" in same.lines
    lines = choose_for_length(of_budget, chosen, 400_000)
    assert lines.splitlines()[1:] == [
        "  schedule.penalty.until=0.05: the penalty falls within 20,000 images, or a fifth of the run",
        "  gan.ema_half_life_images=20000: a twentieth of 400,000 images",
    ]
    assert of_budget.callbacks.sample_grid.every_n_epochs == 625
    assert choose_for_length(of_budget, chosen._replace(open_keys=frozenset({"penalty.gamma"})), 8) == "", (
        "nothing to say"
    )
    of_budget.budget, of_images.max_images = None, None
    of_images.trainer.max_epochs = of_budget.trainer.max_epochs
    assert of_budget == of_images


def test_a_run_that_fails_on_its_data_leaves_a_record_of_it(photos, tmp_path):
    (photos / "red" / "3.png").write_bytes(b"no picture")
    with pytest.raises(CganError, match=r"3\.png: expected a picture"):
        train("data=folder", f"data.root={photos}", "data.cache=none", folder=tmp_path)
    record = read_run(tmp_path)
    assert record.state == "failed"
    assert "3.png: expected a picture" in record.message


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["data=folder"], "data.root: it has no value"),
        (["data=hub"], "data.name: it has no value"),
        (["data=mnist", "data.source.img_shape=[32,32]"], r"img_shape=\[32, 32\]: expected channels, height and width"),
        (["data=cifar10", "data.source.dataset=CIFAR11"], "dataset=CIFAR11: torchvision has no such data set"),
        (["data=cifar10", "data.source.dataset=utils"], "dataset=utils: torchvision has no such data set"),
        (["data=mnist5k", "data.conditional=perhaps"], "data.conditional=perhaps: expected true or false"),
        (["data=mnist5k", "data.source.test_per_class=x"], "test_per_class=x: expected 1 to 499"),
        (["data=folder", "data.root=.", "data.test_share=x"], "data.test_share=x: expected a share"),
    ],
)
def test_a_wrong_key_of_the_data_is_named(composed, typed, words):
    with pytest.raises((InstantiationException, CganError), match=words):
        build_source(composed("train", *typed).data)


@pytest.mark.parametrize("preset", ["cifar10", "cifar100", "svhn", "stl10", "celeba", "faces64"])
def test_presets_of_known_data_sets_name_their_data(composed, preset):
    cfg = composed("train", f"experiment={preset}")
    assert cfg.penalty.gamma == (2 if preset == "cifar10" else "auto")
    assert preset.replace("faces64", "celeba") in cfg.data.source.get("dataset", "CelebA").lower()
