"""``run.json`` says what a run is doing, and no two runs share a folder."""

import json
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import BARE, Compose
from processes import TINY, error_line, start, train

from cgan.errors import CganError
from cgan.records.run import RunRecord, claim, is_locked, new_folder, read_run, release, write_run
from cgan.tasks.candidates import training_command
from cgan.tasks.train import run as train_here

QUIET = [word for word in TINY if word != "quality.n=100"] + ["quality=none"]
RECORD = RunRecord(
    state="running",
    command="python train.py model=light",
    overrides=["model=light"],
    data="mnist5k",
    network="LightGenerator",
    debug=False,
    pid=1,
    host=socket.gethostname(),
    hardware="",
    started=100.0,
    updated=100,
)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    finished = replace(
        RECORD,
        command="cgan train " + "a" * 20_000,
        state="finished",
        epoch=3,
        epochs=3,
        images_seen=300,
        images_total=300,
        score=0.5,
    )
    write_run(tmp_path, finished)
    assert read_run(tmp_path) == finished
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content["format"], content["version"], content["score"]) == ("cgan-run", 1, 0.5)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b'{"format": "cgan-run", "version": 2}', b'{"format": "cgan-run", "version": 1, "pid": 3}'],
)
def test_what_is_no_record_is_none(content: bytes, tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    (tmp_path / "run.json").write_bytes(content)
    assert read_run(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("state", "asleep"), ("epoch", "3"), ("overrides", {}), ("command", None), ("message", "\x1b[31m")],
        *[("overrides", ["a\x1b[2J"]), ("epoch", -5), ("images_seen", True), ("seconds_left", float("nan"))],
        *[("loggers", {"a": 3}), ("another", 1)],
    ],
)
def test_a_record_with_another_value_is_none(name: str, value: object, tmp_path: Path) -> None:
    write_run(tmp_path, RECORD)
    content = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(content | {name: value}))
    assert read_run(tmp_path) is None


def test_a_process_that_is_gone_no_longer_runs(tmp_path: Path) -> None:
    write_run(tmp_path, RECORD)
    found = read_run(tmp_path)
    assert found is not None
    assert (found.state, found.message) == ("failed", "its process was killed")
    claim(tmp_path, None)
    assert read_run(tmp_path) == RECORD
    release(tmp_path)
    elsewhere = replace(RECORD, host="another computer")
    write_run(tmp_path, elsewhere)
    assert read_run(tmp_path) == elsewhere


def test_folders_of_the_same_second_get_a_suffix(tmp_path: Path) -> None:
    assert [new_folder(tmp_path / "a" / "12-00-00").name for _ in range(3)] == ["12-00-00", "12-00-00_2", "12-00-00_3"]


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    claim(folder, None)
    assert is_locked(folder / "run.lock")
    release(folder)
    assert not is_locked(folder / "run.lock")
    (folder / "checkpoints").mkdir()
    claim(folder, None)  # a run that failed before its first checkpoint may be started again
    release(folder)
    (folder / "checkpoints" / "last.ckpt").touch()
    write_run(folder, replace(RECORD, state="finished"))
    for checkpoint in (None, tmp_path / "other" / "checkpoints" / "last.ckpt"):
        with pytest.raises(CganError, match=rf"holds a finished run; name another .*, or go on with ckpt={folder}"):
            claim(folder, checkpoint)
    claim(folder, folder / "checkpoints" / "last.ckpt")
    claim(tmp_path / "run" / ".." / "run", folder / "checkpoints" / ".." / "checkpoints" / "last.ckpt")  # the same one
    release(folder)
    assert not is_locked(folder / "run.lock")


def test_a_run_records_its_start_and_its_end(composed: Compose, tmp_path: Path) -> None:
    began = time.time()
    train_here(composed("train", "model=light", "model.generator.width=4", *BARE))
    found = read_run(tmp_path)
    assert found is not None
    assert found.overrides[:2] == ["model=light", "model.generator.width=4"]
    assert found.command.startswith("cgan train model=light model.generator.width=4 ")
    assert (found.state, found.data, found.network, found.debug) == ("finished", "mnist5k", "LightGenerator", False)
    assert (found.pid, found.host) == (os.getpid(), socket.gethostname())
    assert (found.epoch, found.epochs, found.images_seen, found.images_total) == (1, 1, 384, 384)
    assert "CPU cores" in found.hardware
    assert began <= found.started < found.updated <= time.time()
    assert found.score is None


@pytest.mark.parametrize("debug", ["debug=one_batch", "+trainer.limit_train_batches=1", "+trainer.fast_dev_run=true"])
def test_a_debug_run_says_so(debug: str, composed: Compose, tmp_path: Path) -> None:
    train_here(composed("train", "model=light", *BARE, debug))
    found = read_run(tmp_path)
    assert found is not None
    assert found.debug


def test_a_failed_run_says_why(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(CganError):
        train_here(composed("train", *BARE, "data.batch_size=5000"))
    found = read_run(tmp_path)
    assert found is not None
    assert found.state == "failed"
    assert "lower data.batch_size" in found.message
    assert not is_locked(tmp_path / "run.lock")


def test_a_refused_command_leaves_no_folder_and_a_failed_run_its_error(tmp_path: Path) -> None:
    refused = [*QUIET, "gan.d_steps=0"]
    assert "gan.d_steps=0" in error_line(start(*refused, cwd=tmp_path))
    assert "gan.d_steps=0" in error_line(start(*refused, "hydra.run.dir=new", cwd=tmp_path))
    late = start(*QUIET, "trainer.devices=2", "logger=tensorboard", "hydra.run.dir=new", cwd=tmp_path)
    assert "need trainer=ddp" in error_line(late)
    assert list((tmp_path / "logs" / "train" / "runs").iterdir()) == []
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    error_line(start(*refused, "hydra.run.dir=mine", cwd=tmp_path))
    assert (tmp_path / "mine").is_dir()
    line = error_line(start(*QUIET, "optimizer.lr=1e30", "hydra.run.dir=failed", cwd=tmp_path))
    assert "training diverged" in line
    assert (tmp_path / "failed" / "train.log").read_text().endswith(f"{line}\n")


def test_two_runs_in_one_folder_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [*QUIET, f"hydra.run.dir={folder}", "trainer.max_epochs=1000"]
    first = start(*arguments, cwd=tmp_path)
    first.until((folder / "checkpoints" / "last.ckpt").exists)
    overrides = (folder / ".hydra" / "overrides.yaml").read_bytes()
    refused = error_line(start(*arguments, "seed=2", cwd=tmp_path))
    assert f"another run uses this folder, process {first.process.pid} on '{socket.gethostname()}';" in refused
    first.until(lambda: (found := read_run(folder)) and found.seconds_left)
    found = read_run(folder)
    assert found is not None
    assert found.state == "running"
    assert first.signal(signal.SIGTERM).wait() == 143
    found = read_run(folder)
    assert found is not None
    assert (found.state, found.message) == ("stopped", "stopped by SIGTERM")
    again = start(*arguments, "seed=2", cwd=tmp_path)
    assert f"holds a stopped run; name another with hydra.run.dir=FOLDER, or go on with ckpt={folder}" in error_line(
        again
    )
    assert (folder / ".hydra" / "overrides.yaml").read_bytes() == overrides


def test_runs_of_the_same_second_get_a_folder_each(tmp_path: Path) -> None:
    runs = [start(*QUIET, f"seed={seed}", "trainer.max_epochs=1", cwd=tmp_path) for seed in (1, 2, 3)]
    assert [run.wait() for run in runs] == [0, 0, 0], [run.words() for run in runs]
    folders = list((tmp_path / "logs" / "train" / "runs").iterdir())
    assert len(folders) == 3
    seeds = [(folder / ".hydra" / "overrides.yaml").read_text().partition("seed=")[2][0] for folder in folders]
    assert sorted(seeds) == ["1", "2", "3"]


def test_an_evaluation_is_not_written_over_another_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "evaluation.json").write_text("{}")
    (tmp_path / "b" / "checkpoints").mkdir(parents=True)
    (tmp_path / "b" / "checkpoints" / "last.ckpt").touch()
    claim(tmp_path / "c", None)
    refusals = {"a": "holds evaluation.json", "b": "holds a stopped run", "c": "another run uses this folder"}
    for name, words in refusals.items():
        line = error_line(start(f"hydra.run.dir={tmp_path / name}", cwd=tmp_path, script="evaluate.py"))
        assert f"{tmp_path / name}: " in line
        assert words in line
        assert "name another with hydra.run.dir=FOLDER" in line
    release(tmp_path / "c")
    assert (tmp_path / "a" / "evaluation.json").read_text() == "{}"


def test_a_sweep_typed_twice_is_refused(tmp_path: Path) -> None:
    arguments = ["-m", *QUIET, "seed=1,2", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    train(*arguments, cwd=tmp_path)
    assert "sweep: this folder holds a sweep; name another" in error_line(start(*arguments, cwd=tmp_path))


def test_the_command_for_others_names_a_folder_of_pictures_and_no_place(tmp_path):
    private = ["data.root=/home/me/my hands.zip", "hydra.run.dir=/home/me/run", "run_name=x", "seed=2"]
    write_run(tmp_path, replace(RECORD, data="folder", overrides=["data=folder", *private]))
    assert training_command(tmp_path) == "cgan train data=folder seed=2 'data.root=my hands.zip'"
    write_run(tmp_path, replace(RECORD, overrides=["model=light", *private]))
    assert training_command(tmp_path) == "cgan train model=light seed=2"
