"""A run that was stopped, in whatever way, ends as if it had not been."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import TINY, Run, error_line, start, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cgan.callbacks.checkpoints import keep
from cgan.cli.streams import Lasting
from cgan.errors import CganError
from cgan.files import write_file
from cgan.records.run import read_run, write_run
from cgan.tasks.resume import first_checkpoint, newest_good, resumed_arguments

SAVED_OFTEN = [*TINY, "checkpoint.every_n_batches=4"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("uninterrupted")
    train(*SAVED_OFTEN, "hydra.run.dir=run", cwd=cwd)
    return cwd / "run"


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder: Path) -> list[dict[str, float]]:
    """Every logged value but those that a clock gave."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if not k.startswith(("time/", "speed/"))} for row in lines]
    return [row for row in timeless if len(row) > 1]


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    board = EventAccumulator(str(folder))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars(tag)]


def assert_same_run(folder: Path, reference: Path) -> None:
    found, expected = checkpoint(folder), checkpoint(reference)
    assert found["cgan"] == expected["cgan"]
    assert found["state_dict"].keys() == expected["state_dict"].keys()
    for name, weight in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][name], weight), name
    for mine, theirs in zip(found["optimizer_states"], expected["optimizer_states"], strict=True):
        for index, values in theirs["state"].items():
            assert all(torch.equal(mine["state"][index][name], value) for name, value in values.items())
    assert rows(folder) == rows(reference)
    for side, tag in (("discriminator", "loss/d"), ("", "quality/fid_digits_100"), ("", "quality/variety")):
        assert curve(folder / side, tag) == curve(reference / side, tag)
        assert len(curve(folder / side, tag)) >= 2
    pictures = sorted(path.name for path in (reference / "samples").iterdir())
    assert len(pictures) == 2
    for name in pictures:
        assert (folder / "samples" / name).read_bytes() == (reference / "samples" / name).read_bytes()


def saves(folder: Path) -> Any:
    """Count the times that last.ckpt appears anew."""
    seen: set[int] = set()

    def count() -> int:
        path = folder / "checkpoints" / "last.ckpt"
        if path.exists():
            seen.add(path.stat().st_mtime_ns)
        return len(seen)

    return count


def stopped(run: Run, folder: Path, number: int, after_saves: int) -> int:
    count = saves(folder)
    return run.until(lambda: count() > after_saves).signal(number).wait()


def test_a_run_stopped_three_times_ends_in_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    folder, started_at = tmp_path / "run", time.monotonic()
    run = start(*SAVED_OFTEN, "hydra.run.dir=run", cwd=tmp_path)
    assert stopped(run, folder, signal.SIGTERM, after_saves=1) == 143
    assert f"train.py ckpt={folder}" in run.words().partition("Go on: ")[2]
    at_term = checkpoint(folder)["cgan"]["steps"]
    assert 0 < at_term < 36

    run = start(f"ckpt={folder}", cwd=tmp_path)
    assert stopped(run, folder, signal.SIGINT, after_saves=1) == 130
    assert "Stopped by SIGINT" in run.words()
    assert at_term < checkpoint(folder)["cgan"]["steps"] < 36

    run = start("ckpt=last", cwd=tmp_path, env={})
    assert run.wait() == 1  # `last` looks under logs/train, where there is nothing
    run = start(f"ckpt={folder}", cwd=tmp_path)
    assert stopped(run, folder, signal.SIGKILL, after_saves=1) == -signal.SIGKILL
    run = train(f"ckpt={folder}", cwd=tmp_path)
    assert_same_run(folder, uninterrupted)
    assert "Continuing from" in run.words()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    trained = sum(line.get("time/train_s", 0) for line in lines)
    assert 0 < trained < time.monotonic() - started_at  # an epoch's clock starts anew where a run goes on within it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_at_once_before_training_starts(tmp_path: Path, number: signal.Signals) -> None:
    """Features may take minutes, and there is nothing to save."""
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}  # of features that no test has trained before
    run = start(*TINY, "features=own", "data.source.test_per_class=100", "hydra.run.dir=run", cwd=tmp_path, env=cache)
    run.until(lambda: "training a classifier" in run.words()).signal(number)
    assert run.wait(60) == 128 + number
    assert f"Stopped by {number.name} before training started" in run.errors()
    record = read_run(tmp_path / "run")
    assert record is not None
    assert (record.state, record.message) == ("stopped", f"stopped by {number.name}")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.slow
def test_a_training_killed_while_it_writes_a_checkpoint_ends_in_the_same_bits(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder, arguments = tmp_path / "run", [*SAVED_OFTEN, "hydra.run.dir=run"]
    for _ in range(10):  # a kill may come a moment after the renaming
        run = start(*arguments, cwd=tmp_path)
        count = saves(folder)
        run.until(count)
        part = folder / "checkpoints" / f"last.ckpt.{socket.gethostname()}.{run.process.pid}.part"
        while not part.exists():
            assert run.process.is_alive(), run.words()
        assert run.signal(signal.SIGKILL).wait() == -signal.SIGKILL
        if part.exists():
            break
        arguments = [f"ckpt={folder}"]
    assert part.exists()
    assert checkpoint(folder)["cgan"]["steps"] > 0
    train(f"ckpt={folder}", cwd=tmp_path)
    assert_same_run(folder, uninterrupted)
    assert not part.exists()


@pytest.mark.slow
def test_a_requeued_slurm_job_goes_on_by_itself(uninterrupted: Path, tmp_path: Path) -> None:
    job = {"SLURM_JOB_ID": "77"}
    (folder,) = [Path(word.split("=", 1)[1].strip("'")) for word in resumed(SAVED_OFTEN, tmp_path, job)[-1:]]
    run = start(*SAVED_OFTEN, cwd=tmp_path, env=job)
    assert stopped(run, folder, signal.SIGTERM, after_saves=2) == 143
    train(*SAVED_OFTEN, cwd=tmp_path, env={**job, "SLURM_RESTART_COUNT": "1"})
    assert_same_run(folder, uninterrupted)


@pytest.mark.parametrize(
    ("variables", "typed", "expected"),
    [
        ({}, "a/best.ckpt", "a/best.ckpt"),
        ({}, None, None),
        ({"SLURM_RESTART_COUNT": "1"}, "a/best.ckpt", "b/last.ckpt"),
        ({"SLURM_RESTART_COUNT": "1"}, "b/best.ckpt", "b/last.ckpt"),
        ({"SLURM_RESTART_COUNT": "0"}, "a/best.ckpt", "a/best.ckpt"),
        ({"TORCHELASTIC_RUN_ID": "x"}, "a/best.ckpt", "b/last.ckpt"),
        ({"TORCHELASTIC_RUN_ID": "x"}, "b/best.ckpt", "b/best.ckpt"),
        ({"TORCHELASTIC_RUN_ID": "x"}, None, "b/last.ckpt"),
    ],
)
def test_a_job_that_was_started_again_goes_on_from_what_it_has_written(
    variables: dict[str, str],
    typed: str | None,
    expected: str | None,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for run, name in (("a", "best.ckpt"), ("b", "best.ckpt"), ("b", "last.ckpt")):
        (tmp_path / run / "checkpoints").mkdir(parents=True, exist_ok=True)
        (tmp_path / run / "checkpoints" / name).write_bytes((uninterrupted / "checkpoints" / "last.ckpt").read_bytes())

    def place(short: str | None) -> str | None:
        return short and str(tmp_path / short.replace("/", "/checkpoints/"))

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = first_checkpoint(place(typed), tmp_path / "b")
    assert (found and str(found)) == place(expected)
    assert first_checkpoint(place("a/best.ckpt"), tmp_path / "new") == place("a/best.ckpt"), "nothing was written yet"


def resumed(arguments: list[str], cwd: Path, env: dict[str, str]) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        return resumed_arguments(arguments, runs=cwd / "logs" / "train")


def test_a_new_learning_rate_counts_in_a_resumed_run(uninterrupted: Path, tmp_path: Path) -> None:
    source = uninterrupted / "checkpoints" / "last.ckpt"
    train(*TINY, f"ckpt={source}", "optimizer.g.lr=1e-6", "trainer.max_epochs=3", "hydra.run.dir=run", cwd=tmp_path)
    rates = [row["training/learning_rate_g"] for row in rows(tmp_path / "run") if "training/learning_rate_g" in row]
    assert set(rates) == {1e-6}


def test_new_options_of_an_optimiser_count_in_a_resumed_run(uninterrupted: Path, tmp_path: Path) -> None:
    source = uninterrupted / "checkpoints" / "last.ckpt"
    typed = ["optimizer.d.betas=[0.1,0.75]", "+optimizer.g.weight_decay=0.25"]
    train(*TINY, f"ckpt={source}", *typed, "trainer.max_epochs=3", "hydra.run.dir=run", cwd=tmp_path)
    stored = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
    d, g = (state["param_groups"][0] for state in stored)
    assert (list(d["betas"]), d["weight_decay"]) == ([0.1, 0.75], 0)
    assert (list(g["betas"]), g["weight_decay"]) == ([0.5, 0.999], 0.25)


SHORT = [*TINY, "hydra.run.dir=run"]


@pytest.mark.parametrize("words", [["-m", "cgan", "train", *SHORT], ["-c", f"import cgan; cgan.train(*{SHORT})"]])
def test_a_run_outlives_the_reader_of_its_output(words: list[str], tmp_path: Path) -> None:
    """`cgan train 2>&1 | tee log`: at ctrl-C `tee` ends first."""
    run = subprocess.Popen([sys.executable, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.stdout is not None
    run.stdout.close()
    assert run.wait() == 0
    assert read_run(tmp_path / "run").state == "finished"


def test_a_run_needs_no_output(tmp_path: Path) -> None:
    words = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-m", "cgan", "train", *SHORT]
    assert subprocess.run(words, cwd=tmp_path).returncode == 0
    assert read_run(tmp_path / "run").state == "finished"


def test_output_whose_reader_is_gone_goes_nowhere() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as written:
        stream = Lasting(written)
        stream.write("a")
        stream.flush()
        assert os.read(reading, 9) == b"a"
        os.close(reading)
        for _ in range(3):
            assert stream.write("b" * 100_000) == 100_000
            stream.flush()


@pytest.mark.parametrize("point", ["fsync", "replace"])
def test_sigkill_within_a_write_leaves_the_old_file(point: str, tmp_path: Path) -> None:
    target = tmp_path / "last.ckpt"
    write_file(target, b"old")
    if (child := os.fork()) == 0:
        setattr(os, point, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        write_file(target, b"new, and not all of it on the disk yet")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    write_file(target, b"newer")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"newer"], "what the dead process left is gone"


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "flipped bit"])
def test_ckpt_last_falls_back_to_the_newest_good_one(
    how: str, uninterrupted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "runs" / "a" / "checkpoints"
    folder.mkdir(parents=True)
    source = uninterrupted / "checkpoints"
    for name in ("previous.ckpt", "last.ckpt"):
        (folder / name).write_bytes((source / name).read_bytes())
    damaged(folder / "last.ckpt", how)
    assert resumed_arguments(["ckpt=last"], runs=tmp_path)[-1] == f"ckpt={folder / 'previous.ckpt'}"
    assert "last.ckpt: not a readable checkpoint" in capsys.readouterr().err
    with pytest.raises(CganError, match="damaged"):
        resumed_arguments_of_file(folder / "last.ckpt")
    damaged(folder / "previous.ckpt", how)
    with pytest.raises(CganError, match=r"last\.ckpt: not a readable checkpoint"):
        newest_good(tmp_path / "runs" / "a")


def test_a_damaged_checkpoint_takes_the_place_of_no_sound_one(uninterrupted: Path, tmp_path: Path) -> None:
    """A run that goes on from previous.ckpt writes last.ckpt once: until then previous.ckpt is all there is."""
    folder = tmp_path / "run" / "checkpoints"
    shutil.copytree(uninterrupted, tmp_path / "run")
    sound = (folder / "previous.ckpt").read_bytes()
    damaged(folder / "last.ckpt", "cut")
    seen = torch.load(folder / "previous.ckpt", weights_only=True)["cgan"]["images_seen"]
    record = read_run(tmp_path / "run")
    assert record is not None
    write_run(tmp_path / "run", replace(record, state="stopped"))
    train(f"ckpt={tmp_path / 'run'}", cwd=tmp_path)
    assert (folder / "previous.ckpt").read_bytes() == sound
    assert checkpoint(tmp_path / "run")["cgan"]["images_seen"] > seen


def resumed_arguments_of_file(path: Path) -> None:
    from cgan.checkpoint import read_description

    read_description(Path(resumed_arguments([f"ckpt={path}"])[-1].split("=", 1)[1].strip("'")))


def test_the_previous_checkpoint_is_kept(tmp_path: Path) -> None:
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for content in (b"1", b"2", b"3"):
        if last.exists():
            keep(last, previous)
        write_file(last, content)
    assert (previous.read_bytes(), last.read_bytes()) == (b"2", b"3")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]


def test_a_damaged_checkpoint_is_one_line(uninterrupted: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes((uninterrupted / "checkpoints" / "last.ckpt").read_bytes()[:-1000])
    assert "cut off, damaged" in error_line(start(*TINY, f"ckpt={broken}", cwd=tmp_path))
