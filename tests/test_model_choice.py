"""Which generator is used when none is named, and what is said of it."""

import json
import logging
from pathlib import Path

import pytest
from conftest import TINY

from cgan.checkpoint import PRETRAINED, find_generator
from cgan.config import model_name
from cgan.errors import CganError
from cgan.records.best_run import best_run
from cgan.records.run import RunRecord, read_run, write_run
from cgan.records.summary import Summary, summarise
from cgan.tasks import runs, sample, train

PROTOCOL = {"data": "mnist", "features": "digits", "features_hash": "0", "resize": "none", "n": 10000, "seed": 0}


@pytest.fixture
def add(tmp_path):
    """Write a run folder that finished at a given hour."""

    def add_run(name, hour=1, score=None, checkpoint="best.ckpt", protocol=PROTOCOL, **record):
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        if checkpoint:
            (folder / "checkpoints" / checkpoint).touch()
        values = {"state": "finished", "data": "mnist", "network": "", "overrides": [], "debug": False, **record}
        known = {"command": "", "pid": 1, "host": "elsewhere", "hardware": ""}
        write_run(folder, RunRecord(**known, **values, started=0, updated=3600 * hour, score=score))
        if score is not None:
            (folder / "evaluation.json").write_text(json.dumps({"protocol": protocol}))
        return folder

    return add_run


def test_the_lowest_distance_among_comparable_runs_wins(add, tmp_path):
    add("runs/newest", hour=9, score=0.5)
    best = add("multiruns/x/1", hour=1, score=0.1, protocol={**PROTOCOL, "seed": 7})
    add("runs/worse", hour=8, score=0.2)
    add("runs/other_data", hour=7, score=0.01, data="kmnist")
    add("runs/other_protocol", hour=6, score=0.01, protocol={**PROTOCOL, "n": 100})
    assert best_run(tmp_path) == best
    found = find_generator(None, tmp_path)
    assert found == (best / "checkpoints" / "best.ckpt", "best finished run")


def test_the_newest_finished_run_says_which_data_counts(add, tmp_path):
    add("old", hour=1, score=0.1)
    newest = add("new", hour=2, score=50.0, data="kmnist")
    assert best_run(tmp_path) == newest


def test_a_newest_run_without_numbers_yields_to_those_that_were_measured(add, tmp_path):
    best = add("best", hour=1, score=0.1)
    add("worse", hour=2, score=0.2)
    add("unmeasured", hour=3, checkpoint="last.ckpt")
    assert best_run(tmp_path) == best


def test_two_folders_of_pictures_are_two_data_sets(add, tmp_path):
    add("other", hour=1, score=0.1, data="folder", overrides=["data=folder", "data.root=other"])
    newest = add("newest", hour=2, data="folder", overrides=["data=folder", "data.root=mine"])
    assert best_run(tmp_path) == newest


def test_without_numbers_of_its_data_the_newest_is_taken(add, tmp_path):
    add("old", hour=1, score=0.1, data="kmnist")
    newest = add("new", hour=2, checkpoint="last.ckpt")
    assert best_run(tmp_path) == newest
    assert find_generator(None, tmp_path).path == newest / "checkpoints" / "last.ckpt"


def test_debug_and_unfinished_runs_are_used_only_when_named(add, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for hour, state in enumerate(("running", "stopped", "failed"), 2):
        named = add(state, hour=hour, score=0.01, state=state)
    add("debug", hour=8, score=0.01, debug=True)
    add("empty", hour=9, score=0.01, checkpoint=None)
    (tmp_path / "damaged" / "checkpoints").mkdir(parents=True)
    (tmp_path / "damaged" / "run.json").write_text("{")
    assert find_generator(None, tmp_path).path == PRETRAINED / "light"
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"Warning: no finished run in {tmp_path}: the bundled generator draws its digits")
    assert find_generator(named).path == named / "checkpoints" / "best.ckpt"
    finished = add("finished", hour=1, score=3.0)
    assert best_run(tmp_path) == finished


def test_runs_that_compare_are_listed_together_the_best_first(add, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = {"network": "LightGenerator", "images_seen": 12345}
    add("old/worse", hour=1, score=1.234, **digits)
    add("old/best", hour=2, score=0.5, protocol={**PROTOCOL, "seed": 7}, **digits)
    add("folder", hour=4, score=0.1, protocol={**PROTOCOL, "data": "photos\u202e"}, data="folder")
    add("newest", hour=9, state="stopped", images_seen=5, images_total=20, debug=True)
    assert [line.split() for line in runs.run(Path(".")).splitlines()[2:]] == [
        ["old/best", "mnist", "Light", "finished", "12,345", "0.5", "digits"],
        ["old/worse", "mnist", "Light", "finished", "12,345", "1.23", "digits"],
        ["newest", "mnist", "stopped", "25%", "(debug)", "5", "-"],
        ["*", "folder", "photos\\u202e", "finished", "0", "0.1", "digits"],
    ]
    with pytest.raises(CganError, match=r"empty: no runs in it; `cgan train` makes them"):
        runs.run(Path("empty"))


@pytest.mark.parametrize("change", [{"epochs": 1, "images_total": 10**400}, {"images_seen": 10**400}, {"pid": -1}])
def test_a_record_of_absurd_numbers_is_as_if_it_were_not_there(add, tmp_path, change):
    run = add("run")
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **change}))
    assert read_run(run) is None
    with pytest.raises(CganError, match="no runs in it"):
        runs.run(tmp_path)


def test_what_lies_within_a_run_is_not_searched(add, tmp_path):
    run = add("run", hour=1, score=2.0)
    add("run/samples", hour=2, score=1.0)
    assert best_run(tmp_path) == run


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (
            Summary("light_wide", "mnist", 1_320_000, 22.0, 0.1123, 0.0502),
            "light_wide on MNIST, 22 epochs, distance 0.112 (real images 0.0502)",
        ),
        (Summary("mlp", "fashion_mnist", 60_000, 1.0, 12.0), "mlp on fashion MNIST, 1 epoch, distance 12"),
        (Summary("light", "emnist_letters"), "light on EMNIST letters, not evaluated"),
        (Summary("mlp", "mnist", 60_000), "mlp on MNIST, 60,000 images, not evaluated"),
    ],
)
def test_a_summary_is_one_line(summary, text):
    assert str(summary) == text
    assert summary.warning is None


def test_the_bundled_generator_is_summarised_from_its_export():
    summary = summarise(PRETRAINED / "light")
    assert (summary.model, summary.data, summary.images_seen) == ("light_wide", "mnist", 8_985_600)
    assert summary.real_distance == pytest.approx(0.0503, abs=1e-4)
    assert str(summary) == "light_wide on MNIST, 150 epochs, distance 0.0721 (real images 0.0503)"


@pytest.mark.parametrize(
    ("network", "width", "name"),
    [
        ("LightGenerator", 32, "light"),
        ("LightGenerator", 48, "LightGenerator"),
        ("OtherGenerator", 64, "OtherGenerator"),
    ],
)
def test_a_generator_is_called_by_the_choice_that_builds_it(network, width, name):
    config = {"z_dim": 64, "embed_dim": 32, "width": width, "num_classes": 3, "img_shape": [1, 8, 8]}
    assert model_name(network, config) == name


def test_a_generator_of_half_an_epoch_is_used_with_a_warning(composed, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    run = train.run(composed("train", *TINY, "~callbacks.curves", folder=tmp_path / "run"))
    caplog.set_level(logging.INFO)
    sample.run(composed("sample", f"ckpt={run.folder}", "n=1"))
    assert "mlp on MNIST5k, 1 epoch, distance" in caplog.text
    assert "Warning" not in caplog.text
    content = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps({**content, "images_total": 2 * content["images_total"]}))
    sample.run(composed("sample", f"ckpt={run.folder}", "n=1"))
    assert "Warning: trained for 0.5 epochs only" in caplog.text
