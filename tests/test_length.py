"""The length of a run in images, typed or fixed by a time."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from conftest import TINY_UNMEASURED
from omegaconf import open_dict

from cgan.callbacks.quality import Quality
from cgan.errors import CganError
from cgan.records.run import read_run, write_run
from cgan.tasks.build import build_data
from cgan.tasks.length import Pace, Stopwatch, keep_typed_length, seconds_of
from cgan.tasks.resume import resumed_arguments
from cgan.tasks.train import measured_pace, run

TINY = [
    *TINY_UNMEASURED,
    "model=light",
    "model.generator.width=4",
    "model.discriminator.channels=[4,8]",
    "model.discriminator.hidden=8",
    "callbacks.curves=null",
    "callbacks.sample_grid=null",
]
"""400 images in batches of 32: 12 steps per epoch."""


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize(("time", "seconds"), [("90s", 90), ("10min", 600), ("1.5h", 5400), ("2 h", 7200)])
def test_a_time_is_read_with_its_unit(time, seconds):
    assert seconds_of(time) == seconds


@pytest.mark.parametrize("time", ["10", "min", "-3min", "0s", "3 days", "1e3s", None])
def test_what_is_no_time_is_refused(time):
    with pytest.raises(CganError, match=re.escape(f"budget={time}: expected a time such as 90s, 10min or 2h")):
        seconds_of(time)


def test_the_length_fills_the_time_with_training_grids_and_metrics():
    pace = Pace(step=0.5, epoch=3.0, evaluating=lambda training, epochs: 2.0 * epochs + 0.1 * training, spent=7.0)
    # 100 steps an epoch: 55 s of training and a tenth for evaluating, 5 s at its end
    assert pace.steps_within(7 + 60, 100) == 100
    assert pace.steps_within(7 + 59.9, 100) == 99
    assert pace.steps_within(7 + 60.6, 100) == 100, "a step into the next epoch costs its end, too"
    assert pace.steps_within(7 + 65.6, 100) == 101
    assert pace.steps_within(7 + 5.2, 100) == 0


def test_evaluating_takes_its_share_at_most_and_the_last_epoch_always(composed):
    quality = Quality(None, {}, n=10, every_n_epochs=2, seed=0, max_share=0.2)
    quality._seconds["evaluating"], quality.history = 24.0, [None, None]
    assert quality.mean_seconds == 12
    assert quality.most_seconds(training=10.0, epochs=7) == 3 * 12 + 2 * 12
    assert quality.most_seconds(training=10.0, epochs=70) == 60 + 2 * 12, "a minute is free"
    assert quality.most_seconds(training=800.0, epochs=70) == 200 + 2 * 12, "a fifth of 1,000 s"


def test_a_run_by_images_stops_there_in_equal_epochs(composed, tmp_path):
    run(composed("train", *TINY, "max_images=400"))  # 13 steps: two epochs of 7
    record = read_run(tmp_path)
    assert (record.epochs, record.images_total, record.images_seen) == (2, 14 * 32, 14 * 32)
    assert (last(tmp_path)["cgan"]["images_total"], last(tmp_path)["epoch"]) == (14 * 32, 1)
    resumed = [*TINY, f"ckpt={tmp_path / 'checkpoints/last.ckpt'}"]
    with pytest.raises(CganError, match=r"already trained for 448 images; raise max_images"):
        run(composed("train", *resumed, "max_images=400"))
    run(composed("train", *resumed, "max_images=1100"))  # alone: three epochs of 12
    record = read_run(tmp_path)
    assert (record.epochs, record.images_total, record.images_seen) == (5, 35 * 32, 35 * 32), "its epochs stay of 7"


def test_a_run_by_images_of_short_epochs_comes_to_its_end(composed, tmp_path):
    run(composed("train", *TINY, "max_images=400", "+trainer.limit_train_batches=4"))  # 13 steps in epochs of 4
    record = read_run(tmp_path)
    assert (record.epochs, record.images_total, record.images_seen) == (4, 16 * 32, 16 * 32)


def test_a_run_that_is_to_end_before_its_checkpoint_is_refused(composed, tmp_path):
    run(composed("train", *TINY, "max_images=400"))  # 448 in two epochs
    write_run(tmp_path, replace(read_run(tmp_path), state="stopped", images_total=4000))
    resumed = [*TINY, f"ckpt={tmp_path / 'checkpoints/last.ckpt'}"]
    for words, end in (
        ("trainer.max_epochs=1", "raise trainer.max_epochs, which ends at 224"),
        ("max_images=40", "raise max_images, which ends at 40"),
    ):
        with pytest.raises(CganError, match=rf"last\.ckpt: it has seen 448 images; {end}$"):
            run(composed("train", *resumed, words))
    assert read_run(tmp_path).state == "stopped"


def test_a_share_of_the_batches_is_refused(composed):
    with pytest.raises(CganError, match=r"trainer.limit_train_batches=0.5: expected a whole number of training steps"):
        run(composed("train", *TINY, "+trainer.limit_train_batches=0.5"))


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], (400_000, None)),
        (["trainer.max_epochs=3"], (None, None)),
        (["budget=90s"], (None, "90s")),
        (["max_images=640"], (640, None)),
        (["max_images=640", "budget=90s"], (640, "90s")),
    ],
)
def test_a_typed_length_takes_the_place_of_the_presets(composed, typed, expected):
    cfg = composed("train", "experiment=few", "data.root=photos", *typed)
    keep_typed_length(cfg)
    assert (cfg.max_images, cfg.budget) == expected


def test_a_run_by_images_that_is_resumed_by_epochs_keeps_their_length(composed, tmp_path):
    run(composed("train", *TINY, "max_images=400"))  # 13 steps: two epochs of 7
    run(composed("train", *TINY, f"ckpt={tmp_path / 'checkpoints/last.ckpt'}", "trainer.max_epochs=3"))
    record = read_run(tmp_path)
    assert (record.epochs, record.images_total, record.images_seen) == (3, 21 * 32, 21 * 32)


@pytest.mark.parametrize("typed", ["trainer.max_epochs=3", "max_images=900"])
def test_a_length_that_is_typed_takes_the_place_of_the_stored_one(tmp_path, typed):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[model=light, max_images=400, trainer.max_epochs=2]")
    (tmp_path / "checkpoints").mkdir()
    torch.save({}, tmp_path / "checkpoints" / "last.ckpt")
    assert resumed_arguments([f"ckpt={tmp_path}", typed])[:2] == ["model=light", typed]
    kept = resumed_arguments([f"ckpt={tmp_path}", "seed=2"])
    assert kept[:4] == ["model=light", "max_images=400", "trainer.max_epochs=2", "seed=2"]


def test_limited_batches_are_training_steps(composed, tmp_path):
    run(composed("train", *TINY, "+trainer.limit_train_batches=5", "data.steps_per_batch=4", "trainer.max_epochs=1"))
    assert (read_run(tmp_path).images_total, read_run(tmp_path).images_seen) == (5 * 32, 5 * 32)


@pytest.mark.parametrize("images", [0, -5, "many", 1.5, "true"])
def test_a_length_that_is_none_is_refused(composed, images):
    with pytest.raises(CganError, match=f"(?i)max_images={images}: expected a whole number from 1"):
        run(composed("train", *TINY, f"max_images={images}"))


@pytest.fixture
def measured(monkeypatch):
    """Measure this machine, then go by a given pace: 31 steps of 12 seconds, after 28 s for all else."""
    found = []

    def pace(*arguments):
        found.append(measured_pace(*arguments))
        return found[-1]._replace(step=12.0, epoch=1.0, spent=5.0, evaluating=lambda training, epochs: 20.0)

    monkeypatch.setattr("cgan.tasks.train.measured_pace", pace)
    return found


FOLLOWING = ["schedule=burn_in_auto", "gan.ema_half_life_images=auto"]
"""What depends on the length of the run."""


def test_a_budget_fixes_the_length_once(composed, tmp_path, caplog, measured):
    """The short training before leaves no trace, and a resumed run has the same length: equal bits."""
    caplog.set_level("INFO")
    folder, tiny = tmp_path / "budget", [*TINY, *FOLLOWING, "budget=400s"]
    stopped = composed("train", *tiny, folder=folder)
    with open_dict(stopped):
        stopped.callbacks = {"stop": {"_target_": "test_training.StopAfter", "epochs": 1}}
    run(stopped)
    assert (
        "Length: 960 images at 3 images/s, so that training and metrics end within 400s; max_images=960" in caplog.text
    )
    assert (last(folder)["cgan"]["images_seen"], read_run(folder).images_total) == (10 * 32, 3 * 10 * 32)
    run(composed("train", *tiny, f"ckpt={folder / 'checkpoints/last.ckpt'}", folder=folder))
    assert "Length: 960 images, as at the start of the run" in caplog.text
    assert len(measured) == 1
    run(composed("train", *TINY, *FOLLOWING, "max_images=960", folder=tmp_path / "images"))
    budget, typed = last(folder), last(tmp_path / "images")
    assert budget["cgan"] == typed["cgan"]
    assert budget["cgan"]["images_seen"] == read_run(folder).images_seen == 960
    assert all(torch.equal(weight, typed["state_dict"][name]) for name, weight in budget["state_dict"].items())


def test_metrics_grids_and_training_are_measured(composed):
    tiny = [option for option in TINY if option not in ("quality=none", "callbacks.sample_grid=null")]
    cfg = composed("train", *tiny, "quality.n=100")
    pace = measured_pace(cfg, build_data(cfg), 0)
    assert 0 < pace.step < pace.spent
    assert 0 < pace.epoch < pace.spent
    assert pace.evaluating(0, 3) > pace.evaluating(0, 2) > 0
    assert cfg.trainer.max_epochs == 1, "the run's own configuration stays"


def test_what_stands_before_the_first_step_is_spent_too(monkeypatch):
    """The classifier of `features=own` is trained then, which takes minutes."""
    clock = iter([10, 200, 201, 203, 207, 210])
    monkeypatch.setattr("cgan.tasks.length.time", SimpleNamespace(perf_counter=clock.__next__))
    watch, trainer = Stopwatch(1e9), SimpleNamespace()
    watch.on_train_epoch_start(trainer, None)
    for _ in range(3):
        watch.on_train_batch_end(trainer, None, {"d_loss": 0.5}, (None, [0, 1]), 0)
    watch.on_train_end(trainer, None)
    assert watch.pace(1.0, None) == Pace(step=(207 - 203) / 2, epoch=2.0, evaluating=None, spent=200)


@pytest.mark.slow
def test_that_a_classifier_is_trained_is_said(composed, caplog, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    caplog.set_level("INFO")
    measured = [option for option in TINY if option != "quality=none"]
    cfg = composed("train", *measured, "features=own", "features.images=400", "quality.n=100")
    measured_pace(cfg, build_data(cfg), 0)
    assert "Features: training a classifier of" in caplog.text
    assert "Training LightGenerator" not in caplog.text


def test_the_speed_of_several_devices_is_not_measured(composed):
    with pytest.raises(CganError, match="budget=1h: measured on one device, found 2; set max_images"):
        run(composed("train", *TINY, "trainer=ddp_cpu", "budget=1h"))


def test_a_budget_below_one_evaluation_is_refused_and_the_one_that_is_named_is_enough(composed, tmp_path, measured):
    said = r"budget=30s: one training step with metrics and grids takes 38 s here; give (budget=57s) or more"
    with pytest.raises(CganError, match=said) as caught:
        run(composed("train", *TINY, "budget=30s", folder=tmp_path / "short"))
    run(composed("train", *TINY, re.search(said, str(caught.value))[1]))
    assert read_run(tmp_path).images_seen == 2 * 32
