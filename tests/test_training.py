import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BARE, TINY, TINY_UNMEASURED
from omegaconf import open_dict
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cgan import draw, load_generator
from cgan.callbacks.progress import Progress
from cgan.checkpoint import find_generator, read_description
from cgan.config import CONF
from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.files import read_lines
from cgan.metrics.digits import DigitExtractor
from cgan.records.run import read_run
from cgan.runs import _errors_for_users
from cgan.tasks import sample, train
from cgan.tasks.build import build_module, build_trainer
from cgan.tasks.candidates import origin_of
from cgan.tasks.parts import drop_values_of_another


def size(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def finished(composed, run_folder):
    """One real run of the quick start's recipe over a few epochs, shared by the tests of what it leaves behind."""
    if not (run_folder / "run.json").exists():
        cfg = composed(
            "train",
            "experiment=quickstart",
            "trainer.max_epochs=3",
            "data.source.test_per_class=200",
            "quality.n=500",
            "quality.every_n_epochs=1",
            "callbacks.sample_grid.every_n_epochs=1",
            "trainer.accelerator=cpu",
            folder=run_folder,
        )
        train.run(cfg)
    return run_folder


def test_tests_that_share_a_run_share_a_worker(run_folder, request):
    """Some releases of pytest and pytest-xdist know nothing of each other's groups: each worker trains its own run."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("needs pytest -n 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@test_training")


def test_a_short_real_training_draws_readable_digits(finished):
    """Chance is 10 %; three epochs on 3,000 real digits are enough for well above it."""
    generator = load_generator(finished / "checkpoints" / "best.ckpt")
    labels = torch.arange(10).repeat_interleave(20)
    _, logits = DigitExtractor()(draw(generator, labels, seed=1))
    assert (logits.argmax(1) == labels).double().mean() > 0.3


def test_a_run_leaves_its_pictures_numbers_and_checkpoints(finished):
    assert [p.name for p in sorted((finished / "samples").iterdir())] == [f"epoch_{e:04d}.png" for e in range(1, 4)]
    assert size(finished / "samples" / "epoch_0001.png") == (2 + 10 * 58, 22 + 10 * 58)
    assert size(finished / "curves.png")[0] > 500
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    ]
    with np.load(finished / "latents.npz") as file:
        fixed = dict(file)
    assert fixed["labels"].tolist() == list(range(10)) * 10
    assert (fixed["z"][0] == fixed["z"][9]).all()
    assert not (fixed["z"][9] == fixed["z"][10]).any()


def test_checkpoints_hold_the_values_of_each_class_for_the_best_epoch_and_the_last(finished):
    """Of thousands of classes those of every epoch would fill them."""
    history = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)["callbacks"]["Quality"]["history"]
    distances = [one["point"]["values"]["fid"] for one in history]
    shown = {distances.index(min(distances)), 2}
    assert 0 not in shown
    assert [len(one["class_values"]) for one in history] == [2 if place in shown else 0 for place in range(3)]


def test_curves_run_over_images_seen_and_stand_beside_those_of_real_images(finished):
    rows = read_lines(finished / "metrics.jsonl")
    quality = [row for row in rows if "quality/fid_digits_500" in row]
    assert [row["images_seen"] for row in quality] == [2944 * epoch for epoch in range(1, 4)]
    (agreement,) = {row["real/label_agreement_digits_500"] for row in quality}
    assert agreement > 0.98
    assert quality[-1]["quality/fid_digits_500"] < quality[0]["quality/fid_digits_500"]
    board = EventAccumulator(str(finished)).Reload()
    sides = {
        "": {
            "quality/fid_digits_500",
            "training/logits_fake",
            "speed/images_per_s",
            "time/quality_s",
            "time/quality_share",
        },
        "discriminator": {"loss/d", "training/learning_rate_d", "training/gradient_norm_d"},
        "generator": {"loss/g", "training/learning_rate_g", "training/gradient_norm_g"},
        "real": {"real/fid_digits_500", "training/logits_real"},
    }
    for side, tags in sides.items():
        assert tags <= set(EventAccumulator(str(finished / side)).Reload().Tags()["scalars"]), side
    assert [event.step for event in board.Scalars("quality/fid_digits_500")] == [row["images_seen"] for row in quality]
    assert board.Images("samples")[-1].step == quality[-1]["images_seen"]
    assert "custom_scalars__config__" in board.Tags()["tensors"]
    best = min(row["quality/fid_digits_500"] for row in quality)
    assert read_run(finished).score == best
    hparams = [EventAccumulator(str(path)).Reload() for path in finished.glob("events*")]
    final = [board.Scalars("result/fid")[0].value for board in hparams if "result/fid" in str(board.Tags())]
    assert final == [pytest.approx(best)]


def test_the_best_checkpoint_is_that_of_the_best_epoch(finished):
    rows = [row for row in read_lines(finished / "metrics.jsonl") if "quality/fid_digits_500" in row]
    best = min(rows, key=lambda row: row["quality/fid_digits_500"])
    checkpoint = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["cgan"]["images_seen"] == best["images_seen"]


def test_epochs_without_an_evaluation_cause_no_warning(composed, tmp_path):
    """Warnings are errors here."""
    cfg = composed("train", *TINY, "trainer.max_epochs=3", "quality.every_n_epochs=2", "~callbacks.curves")
    result = train.run(cfg)
    rows = [row for row in read_lines(tmp_path / "metrics.jsonl") if "quality/fid_digits_100" in row]
    assert [row["images_seen"] for row in rows] == [768, 1152], "the second epoch and the last"
    best = min(rows, key=lambda row: row["quality/fid_digits_100"])
    assert read_description(tmp_path / "checkpoints" / "best.ckpt")["images_seen"] == best["images_seen"]
    assert train.closing_message(result, []).startswith(f"Best epoch {best['images_seen'] // 384}: Fréchet distance ")


def test_all_metrics_choose_a_best_epoch_too(composed, tmp_path):
    cfg = composed("train", "model=light", "model.generator.width=4", *TINY, "metrics=all", "quality.n=300")
    result = train.run(cfg)
    assert (tmp_path / "checkpoints" / "best.ckpt").is_file()
    assert {"fid", "coverage"} <= result.values.keys()


@pytest.mark.parametrize("key", ["quality.every_n_epochs", "callbacks.sample_grid.every_n_epochs"])
def test_a_distance_of_no_epochs_is_refused_before_training(composed, tmp_path, key):
    with pytest.raises(Exception, match=rf"{key}=0: expected a whole number from 1"):
        train.run(composed("train", *TINY, f"{key}=0"))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("trainer.max_epochs=0", "trainer.max_epochs=0: expected a whole number from 1"),
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc: expected a whole number from 1"),
        ("trainer.devices=0", "trainer: `Trainer(devices=0)` value is not a valid input"),
        ("trainer.precision=foo", "trainer: Precision 'foo' is invalid. Allowed precision values: "),
        ("+trainer.enable_progress_bar=false", "trainer: Trainer was configured with `enable_progress_bar=False` but "),
        ("optimizer.d.betas=[0.5]", "optimizer.d.betas=[0.5]: expected two numbers"),
        ("callbacks.statistics.every_n_images=abc", "callbacks.statistics.every_n_images=abc: expected a whole number"),
        ("callbacks.collapse.min_variety=2", "callbacks.collapse.min_variety=2: expected a number from 0 to 1"),
        ("callbacks.sample_grid.rows=0", "callbacks.sample_grid.rows=0: expected a whole number from 1"),
    ],
)
def test_a_value_that_nothing_can_be_trained_with_is_one_clear_line(composed, override, line):
    with pytest.raises(CganError, match=f"^{re.escape(line)}"), _errors_for_users():
        train.run(composed("train", *BARE, override))


@pytest.mark.parametrize("optimizer", names("optimizer"))
def test_one_word_sets_both_learning_rates(composed, optimizer):
    chosen = composed("train", f"optimizer={optimizer}", "optimizer.lr=3e-3").optimizer
    assert (chosen.d.lr, chosen.g.lr) == (3e-3, 3e-3)
    assert chosen.d.betas == chosen.g.betas == ([0.0, 0.99] if optimizer == "adam_no_momentum" else [0.5, 0.999])


def test_the_averaged_and_the_raw_weights_are_both_there(finished):
    path = finished / "checkpoints" / "last.ckpt"
    averaged, raw = load_generator(path), load_generator(path, weights="raw")
    assert not torch.equal(next(averaged.parameters()), next(raw.parameters()))
    assert averaged.spec == raw.spec
    assert averaged.spec.class_names == tuple("0123456789")


def test_a_run_folder_can_be_drawn_from(finished, composed, tmp_path, caplog):
    caplog.set_level("INFO")
    out = tmp_path / "digits.npz"
    samples = sample.run(composed("sample", f"ckpt={finished}", "digits=[3,7]", "n=4", "seed=5", f"out={out}"))
    assert str(finished / "checkpoints" / "best.ckpt") in caplog.text
    width, height = size(samples.grid)
    assert 4 * 58 < width < 5 * 58
    assert height == 2 + 2 * 58
    with np.load(out) as file:
        arrays = dict(file)
    assert arrays["images"].shape == (8, 28, 28)
    assert arrays["images"].dtype == np.uint8
    assert arrays["labels"].tolist() == [3] * 4 + [7] * 4
    assert arrays["seeds"].tolist() == [5] * 8
    assert (arrays["images"][4] == samples.images[4, 0].numpy()).all()


STYLE_OF_FACTORS = [
    *("data=stacked_mnist", "data@data.digits=mnist5k", "data.source.train=384", "data.source.test=64"),
    *("data.batch_size=32", "data.steps_per_batch=2", "quality=none", "trainer=cpu"),
    *("model=style_wide", "model.generator.width=8", "model.discriminator.channels=[4,8]"),
    *("augment=ada", "augment.target=-0.99", "augment.ramp_images=1500", "gan.matching_aware=0.1"),
]


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(["model=mlp", *TINY_UNMEASURED], id="mlp"),
        pytest.param(STYLE_OF_FACTORS, id="styles-factors-ada"),
        pytest.param([*STYLE_OF_FACTORS, "trainer=cpu_bf16"], id="bfloat16"),
    ],
)
def test_resuming_equals_the_uninterrupted_run_bit_for_bit(composed, tmp_path, recipe):
    """`mlp` has dropout and batch norm, so random state and running statistics; ada has its strength."""
    tiny = [*recipe, "schedule=burn_in_cosine"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.run(composed("train", *tiny, "trainer.max_epochs=3", folder=whole))
    interrupted = composed("train", *tiny, "trainer.max_epochs=3", folder=parts)
    with open_dict(interrupted):
        interrupted.callbacks.stop = {"_target_": "test_training.StopAfter", "epochs": 1}
    train.run(interrupted)
    last = parts / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["cgan"]["steps"] == 12
    seconds = read_description(last)["seconds"]
    train.run(composed("train", *tiny, "trainer.max_epochs=3", f"ckpt={last}", folder=parts))
    known = origin_of(find_generator(parts), load_generator(parts))
    assert known.seconds > seconds > 0, "the time of training counts on, without evaluations too"
    a, b = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (whole, parts))
    assert a["cgan"] == b["cgan"]
    assert a["cgan"]["steps"] == 36
    for name, tensor in a["state_dict"].items():
        assert torch.equal(tensor, b["state_dict"][name]), name
    assert float(a["state_dict"].get("augment.strength", 0.5)) > 0.2
    for ours, theirs in zip(a["optimizer_states"], b["optimizer_states"], strict=True):
        for key, state in ours["state"].items():
            assert all(torch.equal(state[part], theirs["state"][key][part]) for part in state)
    rows = [
        [
            {k: v for k, v in row.items() if k not in ("speed/images_per_s", "time/train_s")}
            for row in read_lines(f / "metrics.jsonl")
        ]
        for f in (whole, parts)
    ]
    assert [row for row in rows[0] if len(row) > 1] == [row for row in rows[1] if len(row) > 1]


class StopAfter(train.pl.Callback):
    """Ends a run early, as a user who presses ctrl-C between two epochs would."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_trains_one_batch(composed, experiment):
    """Quality is measured in one of them: others measure the same, or have tests of their own."""
    tiny = TINY if experiment == "quickstart" else BARE
    one = ["debug=one_batch", "compile=false", *FEW]
    train.run(composed("train", f"experiment={experiment}", *tiny, *one))


@pytest.mark.parametrize("model", ["mlp", "style"])
@pytest.mark.slow
def test_every_experiment_takes_another_model(composed, model):
    """No experiment sets a key of its own model, which these lack or give another value."""
    alone = composed("train", f"model={model}").model
    for experiment in names("experiment"):
        assert composed("train", f"experiment={experiment}", f"model={model}").model == alone, experiment


def test_every_penalty_takes_the_place_of_that_of_every_preset(composed):
    for penalty in names("penalty"):
        alone = set(composed("train", f"penalty={penalty}").penalty)
        for experiment in names("experiment"):
            cfg = composed("train", f"experiment={experiment}", f"penalty={penalty}")
            drop_values_of_another(cfg)
            assert set(cfg.penalty) == alone, experiment
    cfg = composed("train", "experiment=light", "penalty=wgan_gp", "penalty.gamma=3")
    drop_values_of_another(cfg)
    assert cfg.penalty.gamma == 3, "what is typed stays, and is refused"
    cfg = composed("train", "penalty=r1", "+penalty._convert_=all")
    drop_values_of_another(cfg)
    assert cfg.penalty._convert_ == "all", "Hydra's own"


def test_values_that_presets_set_of_callbacks_go_where_others_are_chosen(composed):
    for preset in [*(f"experiment={name}" for name in names("experiment")), "debug=overfit"]:
        cfg = composed("train", preset, "callbacks=[throughput,progress]")
        drop_values_of_another(cfg)
        assert set(cfg.callbacks) == {"throughput", "progress"}, preset
    cfg = composed("train", "experiment=folder", "callbacks=progress", "++callbacks.sample_grid.every_n_epochs=2")
    drop_values_of_another(cfg)
    assert cfg.callbacks.sample_grid == {"every_n_epochs": 2}, "what is typed stays, and is refused"


@pytest.mark.parametrize(
    ("experiment", "debug"),
    [*((few, name) for few in ("few", "best_cpu") for name in ("one_batch", "profile")), ("best_cpu", "overfit")],
)
def test_a_debug_run_is_as_short_as_it_says_whatever_the_preset(composed, experiment, debug):
    cfg = composed(
        "train", f"experiment={experiment}", "data.root=x" if experiment == "few" else "seed=1", f"debug={debug}"
    )
    assert cfg.max_images is cfg.budget is None
    assert cfg.trainer.max_epochs == (100 if debug == "overfit" else 1)


@pytest.mark.parametrize(
    ("words", "warned"),
    [([], True), (["penalty=wgan_gp"], False), (["model.discriminator.norm=spectral"], False), (["loss=bce"], False)],
)
def test_a_wasserstein_critic_without_a_bound_is_warned_of(composed, caplog, words, warned):
    build_module(composed("train", "model=light", "loss=wgan", *words), Mnist5k().spec)
    assert ("add penalty=wgan_gp" in caplog.text) == warned


def test_no_bar_is_shown_where_it_was_left_out(composed):
    def shown(*typed):
        return build_trainer(composed("train", *typed), None, []).progress_bar_callback

    assert isinstance(shown(), Progress)
    assert shown("callbacks.progress=null") is None
    assert shown("callbacks.progress=null", "+trainer.enable_progress_bar=true") is not None


FEW = ["data.batch_size=8", "data.steps_per_batch=1"]
COMBINED = [
    ["loss=bce", "penalty=none", "regulariser=none", "optimizer=adam", "schedule=constant", "augment=none"],
    ["loss=hinge", "regulariser=mode_seeking", "optimizer=adam_no_momentum", "schedule=burn_in_cosine", "augment=auto"],
    ["loss=lsgan", "penalty=r1", "schedule=burn_in_auto", "augment=ada"],
    ["loss=relativistic", "penalty=r1r2", "augment=diffaugment", "augment.transforms=[translation]"],
    ["loss=wgan", "penalty=wgan_gp", "gan.d_steps=2", "augment=diffaugment"],
]
ONE_BATCH = [
    *([f"model={name}", "+trainer.limit_train_batches=1"] for name in names("model")),
    *(["model=light", *choices, "+trainer.limit_train_batches=1"] for choices in COMBINED),
    *(["model=light", f"debug={name}"] for name in names("debug")),
]


@pytest.mark.parametrize("choices", ONE_BATCH, ids=" ".join)
def test_every_option_trains_one_batch(composed, choices):
    result = train.run(composed("train", *BARE, *FEW, *choices))
    assert (result.folder / "checkpoints" / "last.ckpt").exists()


def test_the_profile_of_an_epoch_is_printed(composed, monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("lightning.pytorch"), "propagate", True)
    train.run(composed("train", *BARE, *FEW, "model=light", "debug=profile"))
    assert "Guard.on_before_optimizer_step" in caplog.text


@pytest.mark.parametrize("group", ["loss", "penalty", "regulariser", "optimizer", "schedule", "augment"])
def test_no_option_is_left_out(group):
    assert {word for choices in COMBINED for word in choices if word.startswith(f"{group}=")} == {
        f"{group}={name}" for name in names(group)
    }


def test_a_finished_run_is_not_trained_again(composed, tmp_path):
    train.run(composed("train", *BARE))
    record = (tmp_path / "run.json").read_bytes()
    with pytest.raises(CganError, match=r"already trained for 1 of 1 epochs; raise trainer\.max_epochs"):
        train.run(composed("train", *BARE, f"ckpt={tmp_path / 'checkpoints' / 'last.ckpt'}"))
    elsewhere = {"folder": tmp_path / "elsewhere"}
    with pytest.raises(CganError, match=r"already trained for 1 of 1 epochs; raise trainer\.max_epochs"):
        train.run(composed("train", *BARE, f"ckpt={tmp_path / 'checkpoints' / 'last.ckpt'}", **elsewhere))
    assert not (tmp_path / "elsewhere" / "run.json").exists()
    assert (tmp_path / "run.json").read_bytes() == record


@pytest.mark.parametrize(("multiplies", "warned"), [(False, True), (True, False)])
def test_bfloat16_warns_where_the_processor_emulates_it(multiplies, warned, composed, monkeypatch, caplog):
    monkeypatch.setattr("cgan.tasks.build.multiplies_bfloat16", lambda: multiplies)
    build_trainer(composed("train", "trainer=cpu_bf16"), None, [])
    assert ("32-true" in caplog.text) == warned
    caplog.clear()
    build_trainer(composed("train", "trainer=cpu"), None, [])
    assert "32-true" not in caplog.text
