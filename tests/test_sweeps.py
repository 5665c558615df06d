"""Many runs: in this process, in parallel, as jobs; one failure takes no other along."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from processes import ROOT, TINY, error_line, start, train

from cgan.errors import CganError
from cgan.metrics.values import Protocol
from cgan.records.evaluation import FILE, CurvePoint, Entry, EvaluationRecord, write_evaluation
from cgan.tasks.search import _distribution, _scores, open_study
from cgan.tasks.search import run as search

DROPPED = ("callbacks.", "data.batch_size", "trainer.max_epochs")
FAST = [word for word in TINY if not word.startswith(DROPPED)] + ["trainer.max_epochs=1", "~callbacks.curves"]


@pytest.mark.parametrize(
    ("searched", "workers", "words"),
    [
        ("optimizer.lr=tag(log,interval(0,1))", 1, "optimizer.lr=tag(log,interval(0,1)): expected a range that"),
        ("optimizer.lr=interval(1,0)", 1, "optimizer.lr=interval(1,0): expected a range that is not empty"),
        ("gan.d_steps=range(1,1)", 1, "gan.d_steps=range(1,1): expected a range that is not empty"),
        ("gan.d_steps=range(1,3)", 0, "--workers=0: expected a whole number from 1"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_study_is_made(tmp_path, searched, workers, words) -> None:
    with pytest.raises(CganError, match=re.escape(words)):
        search("s", 2, [searched], workers, studies=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "trials", "words"),
    [
        ("../x", 1, "NAME=../x: expected the name"),
        ("..", 1, "NAME=..: expected the name"),
        ("s", 0, "TRIALS=0: expected a whole"),
    ],
)
def test_a_study_has_a_plain_name_and_a_trial(tmp_path, name, trials, words) -> None:
    with pytest.raises(CganError, match=words):
        search(name, trials, ["loss=choice(bce,hinge)"], studies=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_study_whose_trials_all_fail_ends_with_the_reason(tmp_path, monkeypatch) -> None:
    def fail(*_: object) -> float:
        raise CganError("no Fréchet distance")

    monkeypatch.setattr("cgan.tasks.search.train_once", fail)
    with pytest.raises(CganError, match="all trials failed; trial_0000: no Fréchet distance"):
        search("s", 2, ["loss=choice(bce,hinge)"], studies=tmp_path)


def test_the_values_that_are_searched_are_those_of_a_sweep() -> None:
    def among(values: str) -> BaseDistribution:
        return _distribution(OverridesParser.create().parse_override(f"key={values}"))

    assert among("null,1.0,'a b'") == CategoricalDistribution(["null", "1.0", "'a b'"])
    assert among("range(0,1,0.3)") == FloatDistribution(0, 0.9, step=0.3)
    assert among("range(0,1,0.5)") == FloatDistribution(0, 0.5, step=0.5)
    assert among("range(7,1,-2)") == IntDistribution(3, 7, step=2)
    assert among("tag(log,interval(1e-4,1))") == FloatDistribution(1e-4, 1, log=True)


def table(folder: Path) -> list[list[str]]:
    return [re.split(" {2,}", line.strip()) for line in (folder / "sweep.txt").read_text().splitlines()]


def test_a_failed_job_is_named_and_the_others_run(tmp_path: Path) -> None:
    sweep = ["data.batch_size=8,16,99999", "hydra.sweep.dir=sweep"]
    run = start("-m", *FAST, *sweep, cwd=tmp_path)
    words = error_line(run, jobs=1)
    assert "1 of 3 runs failed: run 2: " in words
    assert "expected at most the 150 training images" in words
    header, *rows = table(tmp_path / "sweep")
    assert header == ["run", "Fréchet distance", "real images", "data.batch_size"]
    assert rows[2] == ["2", "failed", "-", "99999"]
    assert float(rows[0][1]) < float(rows[1][1])
    assert float(rows[0][2]) == float(rows[1][2]) > 0, "of the same real images"
    assert {rows[0][0], rows[1][0]} == {"0", "1"}
    best = run.words().split("Best: ")[1].splitlines()[0]
    assert f"{ROOT / 'train.py'} " in best
    assert f"data.batch_size={rows[0][3]}" in best
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
        ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
    ],
)
def test_launchers(launcher: list[str], tmp_path: Path) -> None:
    # A process of its own, not a forked one: joblib's pool ends with its interpreter.
    command = [sys.executable, str(ROOT / "train.py"), "-m", *FAST, *launcher, "data.batch_size=8,99999"]
    done = subprocess.run([*command, "hydra.sweep.dir=sweep"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "1 of 2 runs failed: run 1: " in done.stderr.splitlines()[-1]
    assert [row[0] for row in table(tmp_path / "sweep")] == ["run", "0", "1"]
    assert (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").exists()


def states(folder: Path) -> list[str]:
    with sqlite3.connect(folder / "study.db") as base:
        return [state for (state,) in base.execute("SELECT state FROM trials ORDER BY number")]


@pytest.mark.slow
def test_a_study_killed_and_gone_on_with(tmp_path: Path) -> None:
    """SIGKILL to the study and its trial: the trial is tried anew with the same choices, and the table ranks all."""
    own = tmp_path / "conf" / "loss"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("_target_: cgan.losses.adversarial.BCE")
    space = [
        "loss=mine",
        "data.batch_size=8",
        "optimizer.g.lr=tag(log,interval(1e-4,1e-2))",
        "gan.fake_labels=choice(batch,uniform)",
    ]
    place: dict[str, Any] = {"config_dir": own.parent, "studies": tmp_path, "heartbeat": 1}
    words = f"from pathlib import *; from cgan.tasks.search import run; run('s', 2, {[*FAST, *space]!r}, **{place!r})"
    killed = subprocess.Popen([sys.executable, "-c", words], cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "s" / "trial_0000" / "train.log").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert states(tmp_path / "s") == ["RUNNING"]
    time.sleep(4)  # longer than three heartbeats: so long no sign means dead
    rows = search("s", 2, [*FAST, *space], **place)
    assert sorted(states(tmp_path / "s")) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert [row.error for row in rows] == [None, None, "it was killed"]
    first, second, dead = rows
    assert first.score is not None
    assert second.score is not None
    assert first.score <= second.score
    assert dead.overrides in (first.overrides, second.overrides)
    assert 1e-4 <= float(first.overrides["optimizer.g.lr"]) <= 1e-2
    assert len(table(tmp_path / "s")) == 4
    assert search("s", 2, [*FAST, *space], **place) == rows
    with pytest.raises(CganError, match=r"this study searches .*data\.batch_size=8 .*; name another study"):
        search("s", 2, [*FAST, *space[1:]], **place)


def test_a_study_needs_something_to_search(tmp_path: Path) -> None:
    with pytest.raises(CganError, match="nothing to search"):
        search("s", 2, ["seed=1"], studies=tmp_path)


@pytest.mark.parametrize(("name", "trials"), [("INT", 2), ("TERM", 3)])
def test_a_signal_stops_all_workers_at_once_and_queues_their_trials_again(
    name: str, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "python"
    both_run = f"[ $(cat {tmp_path}/s/*/output.txt | wc -l) = 2 ]"
    signal_once = f"mkdir {tmp_path}/sent && kill -s {name} $PPID"
    interpreter.write_text(f"#!/bin/sh\necho begun\nuntil {both_run}; do sleep 0.1; done\n{signal_once}\nexec sleep 20")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(KeyboardInterrupt):
        search("s", trials, ["seed=range(9)"], workers=2, studies=tmp_path)
    assert states(tmp_path / "s") == ["FAIL", "FAIL", "WAITING", "WAITING"]


def test_a_pruned_trial_stands_below_those_that_were_measured_to_the_end(tmp_path: Path) -> None:
    values = {"value": 0.5}, {"state": TrialState.PRUNED}, {"value": 0.4}
    trials = [optuna.create_trial(user_attrs={"overrides": [f"seed={n}"]}, **each) for n, each in enumerate(values)]
    open_study(tmp_path / "s", heartbeat=60).add_trials(trials)
    real, about = Entry("real images", {"fid": 0.25}), Protocol("shapes", "digits", "0", "none", 60, 0)
    for number in range(3):
        record = EvaluationRecord(about, real, [Entry("x")], {}, ["bar"])
        write_evaluation(tmp_path / "s" / f"trial_{number:04d}" / FILE, record)
    ranked = search("s", 3, ["seed=range(9)"], studies=tmp_path)
    assert [(row.name, row.score) for row in ranked] == [("trial_0002", 0.4), ("trial_0000", 0.5), ("trial_0001", None)]
    assert table(tmp_path / "s")[1:] == [
        ["trial_0002", "0.4", "0.25", "2"],
        ["trial_0000", "0.5", "0.25", "0"],
        ["trial_0001", "pruned", "0.25", "1"],
    ]


def test_a_study_ranks_and_prunes_by_distances_of_the_same_features_alone(tmp_path: Path) -> None:
    """A model of timm by one name may be read from two files: the second trial is measured in other weights."""
    study = open_study(tmp_path / "s", heartbeat=60)
    entry = Entry("x", curve=[CurvePoint(64, {"fid": 0.5}), CurvePoint(128, {"fid": 0.25})])
    paths = [tmp_path / name / FILE for name in ("a", "b", "c")]
    for path, weights in zip(paths, ("aaaaaaaa", "bbbbbbbb", "aaaaaaaa"), strict=True):
        about = Protocol("shapes", "vit", weights, "none", 60, 0)
        write_evaluation(path, EvaluationRecord(about, Entry("real images"), [entry], {}, ["bar"]))
    assert _scores(study, paths[0]) == [0.5, 0.25]
    with pytest.raises(CganError, match=r"measured in .*weights bbbbbb, .* first trial in .*weights aaaaaa: such dist"):
        _scores(study, paths[1])
    assert _scores(study, paths[2]) == [0.5, 0.25]


def test_a_sweep_without_failures_ends_well(tmp_path: Path) -> None:
    train("-m", *FAST, "data.batch_size=8", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert [row[0] for row in table(tmp_path / "sweep")] == ["run", "0"]


@pytest.mark.slow
def test_a_study_prunes_a_run_that_is_worse_than_the_others(tmp_path: Path) -> None:
    """Four trials of another day were far better at every evaluation: the fifth is stopped and leaves a checkpoint."""
    good = optuna.create_trial(value=0.1, intermediate_values=dict.fromkeys(range(1, 60), 0.1))
    opened = open_study(tmp_path / "s", heartbeat=60)
    opened.add_trials([good] * 4)
    longer = [word for word in FAST if not word.startswith("trainer.max_epochs")]
    space = ["data.batch_size=8", "trainer.max_epochs=50", "gan.fake_labels=choice(batch)"]
    search("s", 5, [*longer, *space], studies=tmp_path)
    assert states(tmp_path / "s") == ["COMPLETE"] * 4 + ["PRUNED"]
    assert (tmp_path / "s" / "trial_0004" / "checkpoints" / "last.ckpt").exists()
    assert "Stopped by SIGTERM" in (tmp_path / "s" / "trial_0004" / "output.txt").read_text()
    assert ["trial_0004", "pruned"] in [row[:2] for row in table(tmp_path / "s")]
