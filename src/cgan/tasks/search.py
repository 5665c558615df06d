"""Hyperparameter search: the trials of a study, each a training in a process of its own."""

import logging
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from cgan.errors import CganError, check_whole
from cgan.records.evaluation import FILE, read_evaluation
from cgan.records.run import read_run
from cgan.tasks.sweep import Row, report

STUDIES = Path("logs/studies")
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
log = logging.getLogger(__name__)


def run(
    name: str,
    trials: int,
    overrides: list[str],
    workers: int = 1,
    config_dir: Path | None = None,
    studies: Path = STUDIES,
    heartbeat: int = 20,
) -> list[Row]:
    """Search until a study has ``trials`` trials, those of earlier calls included; return all, best first.

    A trial that gives no sign for three times ``heartbeat`` seconds was killed, and is tried anew.

    Raises:
        CganError: Nothing is searched, what is searched is not understood, the study searches something else, or all
            trials failed.
    """
    check_whole("--workers", workers, 1)
    check_whole("TRIALS", trials, 1)
    if name in ("", "..") or Path(name).name != name:
        raise CganError(f"NAME={name}: expected the name of a study, without folders")
    searched, fixed = _parse(overrides)
    flags = ["--config-dir", str(config_dir)] if config_dir else []
    folder = (studies / name).absolute()
    study = open_study(folder, heartbeat)
    _refuse_another(study, folder, sorted(overrides))
    stop = threading.Event()

    def objective(trial: optuna.Trial) -> float:
        chosen = [f"{key}={_suggest(trial, key, among)}" for key, among in searched.items()]
        trial.set_user_attr("overrides", [*fixed, *chosen])
        try:
            return train_once(trial, [*flags, *fixed, *chosen], folder / f"trial_{trial.number:04d}", stop)
        except CganError as error:
            trial.set_user_attr("error", str(error))
            raise

    missing = trials - sum(trial.state in DONE for trial in study.trials)
    if missing > 0:
        with _signals(stop):
            enough = optuna.study.MaxTrialsCallback(trials, states=DONE)  # other processes work at it, too
            study.optimize(objective, n_trials=missing, n_jobs=workers, catch=(CganError,), callbacks=[enough])
    rows = report(folder, [_row(trial) for trial in study.trials if trial.state.is_finished()], flags)
    _warn_of_failures(rows)
    return rows


def _parse(overrides: list[str]) -> tuple[dict[str, BaseDistribution], list[str]]:
    """Tell what is searched, by key, from the overrides that all trials share."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    searched = {entry.get_key_element(): _distribution(entry) for entry in parsed if entry.is_sweep_override()}
    if not searched:
        raise CganError("nothing to search: give at least one override a range, such as loss=choice(bce,hinge)")
    return searched, [entry.input_line or "" for entry in parsed if not entry.is_sweep_override()]


def _warn_of_failures(rows: list[Row]) -> None:
    """Name a trial that failed; raise if all of them did."""
    if failed := [row for row in rows if row.error]:
        log.warning("%d of %d trials failed; %s: %s", len(failed), len(rows), failed[0].name, failed[0].error)
        if len(failed) == len(rows):
            raise CganError(f"all trials failed; {failed[0].name}: {failed[0].error}")


def open_study(folder: Path, heartbeat: int) -> optuna.Study:
    """Open or make the study of a folder; trials whose process was killed are queued again."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # signs of life, since 2.9
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{folder / 'study.db'}",
            heartbeat_interval=heartbeat,
            grace_period=3 * heartbeat,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
    return optuna.create_study(
        storage=storage,
        study_name=folder.name,
        direction="minimize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )


def _refuse_another(study: optuna.Study, folder: Path, overrides: list[str]) -> None:
    """Refuse overrides other than those that a study began with: its scores could not be compared."""
    known = study.user_attrs.get("overrides", overrides)
    if known != overrides:
        raise CganError(f"{folder}: this study searches {' '.join(map(str, known))}; name another study")
    study.set_user_attr("overrides", overrides)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """Let ctrl-C and SIGTERM set ``stop``: an exception would reach the main thread, and not the workers in others."""
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    if stop.is_set():  # Optuna drops the exceptions of several workers' last trials
        raise KeyboardInterrupt


def train_once(trial: optuna.Trial, overrides: list[str], folder: Path, stop: threading.Event) -> float:
    """Train in a process of its own, whose last line is the error if it fails, and return the best Fréchet distance.

    ``stop`` ends it, in good order; the trial is then queued again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cgan", "train", *overrides, f"hydra.run.dir={folder}"], stdout=output, stderr=output
        )
        try:
            pruned = _watch(trial, process, folder, stop)
        finally:  # whatever happens to the study, no training is left behind
            if process.poll() is None:
                process.terminate()
                process.wait()
    if pruned:
        raise optuna.TrialPruned
    if stop.is_set() and process.returncode != 0:
        trial.study.enqueue_trial(trial.params)
        raise KeyboardInterrupt
    if process.returncode != 0:
        lines = (folder / "output.txt").read_text(errors="replace").strip().splitlines() or [
            f"status {process.returncode}"
        ]
        raise CganError(lines[-1].removeprefix("error: "))
    record = read_run(folder)
    if record is None or record.score is None:
        raise CganError("a study needs the Fréchet distance: leave out quality=none, and keep fid among metrics=[...]")
    _scores(trial.study, folder / FILE)  # a short run may have ended unwatched
    return record.score


def _watch(trial: optuna.Trial, process: subprocess.Popen, folder: Path, stop: threading.Event) -> bool:
    """Report every Fréchet distance that the run logs; end the run, in good order, if the study gives it up.

    Raises:
        CganError: The distances are of other data or features than those of the study's earlier trials.
    """
    reported = 0
    while process.poll() is None:
        if stop.wait(0.5):
            process.terminate()
            process.wait()
            break
        scores = _scores(trial.study, folder / FILE) if (folder / FILE).is_file() else []
        for step, score in enumerate(scores[reported:], start=reported + 1):
            trial.report(score, step)
        if len(scores) > reported and trial.should_prune():
            process.send_signal(signal.SIGTERM)
            process.wait()
            return True
        reported = len(scores)
    return False


def _scores(study: optuna.Study, path: Path) -> list[float]:
    """Read the Fréchet distances of a trial, epoch by epoch; refuse those that the study's others cannot meet."""
    record = read_evaluation(path)
    found = record.protocol.told_apart
    if (known := study.user_attrs.get("protocol", found)) != found:
        raise CganError(f"measured in {found}, the study's first trial in {known}: such distances cannot be compared")
    study.set_user_attr("protocol", found)
    return [point.values["fid"] for point in record.entries[0].curve if "fid" in point.values]


def _distribution(override: Override) -> BaseDistribution:
    """Return what is searched: the values that Hydra's own sweep would try, or an interval with both its ends."""
    sweep = override.value()
    try:
        if isinstance(sweep, IntervalSweep):
            return FloatDistribution(sweep.start, sweep.end, log="log" in sweep.tags)  # type: ignore[arg-type]
        if isinstance(sweep, ChoiceSweep):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if isinstance(sweep, RangeSweep):
            values = [float(f"{float(value):.12g}") for value in override.sweep_string_iterator()]
            whole = isinstance(sweep.start, int) and isinstance(sweep.step, int)
            kind: Any = IntDistribution if whole else FloatDistribution
            return kind(min(values), max(values), step=abs(sweep.step))
    except ValueError as error:
        raise CganError(
            f"{override.input_line}: expected a range that is not empty, from above 0 with tag(log, ...)"
        ) from error
    raise CganError(f"{override.input_line}: expected choice(...), range(...) or interval(...)")


def _suggest(trial: optuna.Trial, key: str, among: BaseDistribution) -> Any:
    if isinstance(among, CategoricalDistribution):
        return trial.suggest_categorical(key, among.choices)
    if isinstance(among, IntDistribution):
        return trial.suggest_int(key, among.low, among.high, step=among.step)
    assert isinstance(among, FloatDistribution)
    return trial.suggest_float(key, among.low, among.high, step=among.step, log=among.log)


def _row(trial: optuna.trial.FrozenTrial) -> Row:
    overrides = dict(entry.partition("=")[::2] for entry in trial.user_attrs.get("overrides", []))
    error = trial.user_attrs.get("error", "it was killed") if trial.state == TrialState.FAIL else None
    score = trial.value if trial.state == TrialState.COMPLETE else None
    return Row(f"trial_{trial.number:04d}", overrides, score, error, pruned=trial.state == TrialState.PRUNED)
