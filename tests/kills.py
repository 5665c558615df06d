"""Work that is killed at random moments, or that fills its disk: gone on with, it ends as if nothing had happened.

``python tests/campaign.py kill`` and ``disk`` do it by the hundred; the tests do it a few times.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mutations import generator
from PIL import Image
from processes import TINY, Run, start

from cgan.archive import check_archive
from cgan.checkpoint import load_generator, save_generator
from cgan.data.folder import FolderSource
from cgan.errors import CganError
from cgan.records.evaluation import read_evaluation, to_json
from cgan.records.run import is_locked
from cgan.sampling.draw import draw
from cgan.serving.training import LOCK, Trainings

SAVED_OFTEN = [*TINY, "checkpoint.every_n_batches=4"]
LONGEST = 900
"""Seconds that a run may take on a busy machine."""


class Work(NamedTuple):
    """Something that a process does in a folder, and goes on with where a killed one left it.

    Attributes:
        prepare: Puts into the folder what is there before.
        go: Starts the process; ``cwd`` is its working directory, the folder ``place`` in it may be another disk.
        result: What is there at the end, without times.
        check: What must hold at every moment.
    """

    prepare: Callable[[Path], object]
    go: Callable[[Path], "Run | Spawned"]
    result: Callable[[Path], dict[str, Any]]
    check: Callable[[Path], object]


class Spawned:
    """A process of its own that something else started, such as the page; a negative ``pid`` is that of a group."""

    def __init__(self, pid: int, ended: Callable[[], bool], words: Callable[[], str]) -> None:
        self.pid, self.ended, self.words = pid, ended, words

    def alive(self) -> bool:
        return not self.ended()


class Outcome(NamedTuple):
    """How often work was killed, of these while something was being written, and the seconds that it took in all."""

    kills: int
    within_writes: int
    seconds: float


def uninterrupted(work: Work, folder: Path) -> tuple[dict[str, Any], float]:
    """Do the work once; return its result and how long it took, seconds."""
    work.prepare(folder)
    began = time.monotonic()
    run = work.go(folder)
    assert _status(run) == 0, run.words()
    return work.result(folder), time.monotonic() - began


def killed(
    work: Work, folder: Path, expected: dict[str, Any], seconds: float, kills: int, chance: random.Random
) -> Outcome:
    """Kill the work ``kills`` times, or until it comes to its end before, then let it; compare what is left.

    Half of the kills come while a file is being written, the others at any moment of ``seconds``.
    """
    work.prepare(folder)
    began, done, within = time.monotonic(), 0, 0
    for _ in range(kills):
        run = work.go(folder)
        if chance.random() < 0.5:
            skipped = chance.choice([0, 0, 1, 3])  # some work writes a single file
            _seen.clear()
            _until(lambda: _writes(folder, skipped), run, seconds)  # noqa: B023 - called at once
        else:
            _until(lambda: False, run, chance.uniform(0, seconds))
        if not _alive(run):
            break
        within += bool(list(folder.rglob("*.part")))
        _kill(run)
        done += 1
        work.check(folder)
    else:
        run = work.go(folder)
    done_before = ("already trained", "holds evaluation.json")  # the last kill came after all was written
    assert _status(run) == 0 or any(words in run.words() for words in done_before), run.words()
    assert not (wrong := _differing(work.result(folder), expected)), f"other than without a kill: {wrong}"
    return Outcome(done, within, time.monotonic() - began)


def on_a_full_disk(work: Work, folder: Path, expected: dict[str, Any], megabytes: float, chance: random.Random) -> bool:
    """Do the work on a disk of a random size, then on a large one; return whether the small one was too small."""
    work.prepare(folder)
    place = folder / "place"
    place.mkdir(exist_ok=True)
    size = int(2**20 * chance.uniform(0.02, 1) * megabytes)
    with mounted(place, size):
        run = work.go(folder)
        failed = _status(run) != 0
        lines = [line for line in run.words().splitlines() if line.startswith("error: ")]
        assert not failed or len(lines) == 1, run.words()
        assert "Traceback" not in run.words(), run.words()
        assert not failed or "No space left on device" in lines[0], lines
        work.check(folder)
        subprocess.run(["mount", "-o", "remount,size=1g", str(place)], check=True)
        run = work.go(folder)
        assert _status(run) == 0, run.words()
        assert not (wrong := _differing(work.result(folder), expected)), f"other than on a large disk: {wrong}"
    return failed


def _differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)]


@contextlib.contextmanager
def mounted(place: Path, size: int) -> Iterator[None]:
    """A disk of ``size`` bytes at ``place``."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _alive(run: Run | Spawned) -> bool:
    return run.process.is_alive() if isinstance(run, Run) else run.alive()


def _until(condition: Callable[[], bool], run: Run | Spawned, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and _alive(run) and not condition():
        time.sleep(0.002)


_seen: set[str] = set()


def _writes(folder: Path, skipped: int) -> bool:
    """Whether a file is being written, after ``skipped`` others."""
    try:
        found = {f"{path}{path.stat().st_ino}" for path in folder.rglob("*.part")}
    except FileNotFoundError:  # renamed meanwhile
        return False
    _seen.update(found)
    if len(_seen) > skipped:
        _seen.clear()
        return bool(found)
    return False


def _kill(run: Run | Spawned) -> None:
    if isinstance(run, Run):
        run.signal(signal.SIGKILL).wait()
        return
    os.kill(run.pid, signal.SIGKILL)
    while not run.ended():
        time.sleep(0.01)


def _status(run: Run | Spawned) -> int:
    if isinstance(run, Run):
        return run.wait(LONGEST)
    end = time.monotonic() + LONGEST
    while not run.ended():
        assert time.monotonic() < end, run.words()
        time.sleep(0.05)
    return 0


def _nothing(_: Path) -> None:
    pass


# Training


def _train(folder: Path) -> Run:
    run = folder / "place" / "run"
    going_on = any((run / "checkpoints").glob("*.ckpt"))
    return start(*([f"ckpt={run}"] if going_on else [*SAVED_OFTEN, f"hydra.run.dir={run}"]), cwd=folder)


def _trained(run: Path) -> dict[str, Any]:
    """Everything that training leaves, without times: weights, optimisers, values, pictures."""
    found = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [{k: str(v) for k, v in row.items() if not k.startswith(("time/", "speed/"))} for row in lines]
    return {
        "cgan": found["cgan"],
        "weights": {name: tensor.tolist() for name, tensor in found["state_dict"].items()},
        "optimizers": str([state["state"] for state in found["optimizer_states"]]),
        "rows": [row for row in rows if len(row) > 1],
        "pictures": {path.name: path.read_bytes() for path in (run / "samples").iterdir()},
        "best": load_generator(run / "checkpoints" / "best.ckpt").state_dict().__str__(),
    }


def _check_checkpoints(run: Path) -> None:
    for path in (run / "checkpoints").glob("*.ckpt"):
        check_archive(path)


# A training that the page started


def _train_from_the_page(folder: Path) -> Spawned:
    page, (run, *_) = Trainings(folder), [*Trainings(folder).all(), None]
    if run is not None and any((run / "checkpoints").glob("*.ckpt")):
        page.resume(run)
    else:  # killed before its first checkpoint there is nothing to go on with: another one, in a folder of its own
        run = page.start(SAVED_OFTEN)
    pid = _pid(run)
    return Spawned(pid, lambda: not is_locked(run / LOCK), lambda: (run / "page.log").read_text())


def _pid(run: Path) -> int:
    while True:
        with contextlib.suppress(ValueError):
            return json.loads((run / LOCK).read_text())


def _newest_run(folder: Path) -> Path:
    return Trainings(folder).all()[0]


# A study: each of its trials is a process, too; all are killed at once


def _search(folder: Path) -> Spawned:
    fixed = [word for word in TINY if not word.startswith(("data.batch_size", "trainer.max_epochs"))]
    space = ["trainer.max_epochs=1", "data.batch_size=choice(8)"]
    words = f"from pathlib import Path; from cgan.tasks.search import run; run('s', 2, {[*fixed, *space]!r}, "
    output = folder / "output.txt"
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{words}studies=Path('place'), heartbeat=1)"],
            cwd=folder, start_new_session=True, stdout=file, stderr=file,
        )  # fmt: skip
    return Spawned(-process.pid, lambda: process.poll() is not None, output.read_text)


def _searched(folder: Path) -> dict[str, Any]:
    from cgan.tasks.search import open_study  # imports Optuna

    trials = open_study(folder / "place" / "s", heartbeat=1).trials
    return {"scores": [trial.value for trial in trials if trial.state.name == "COMPLETE"]}


# Decoded pictures


def _pictures(folder: Path) -> None:
    noise = np.random.default_rng(0)
    for label in ("ant", "bee"):
        for number in range(60):
            path = folder / "pictures" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(path)


def _decode(folder: Path) -> Run:
    arguments = ["data=folder", f"data.root={folder / 'pictures'}", "data.size=64", f"data.cache={folder / 'place'}"]
    return start(*arguments, "hydra.run.dir=out", cwd=folder, script="data.py")


def _decoded(folder: Path) -> dict[str, Any]:
    source = FolderSource(str(folder / "pictures"), size=64, cache=str(folder / "place"))
    return {split: source.load(split).images.sum((1, 2, 3)).tolist() for split in ("train", "test")}


# Evaluation


def _untrained(folder: Path) -> None:
    save_generator(generator(), folder / "generator")


def _evaluate(folder: Path) -> Run:
    chosen = [f"ckpt={folder / 'generator'}", "data=mnist5k", "data.source.test_per_class=485", "n=100"]
    env = {"XDG_CACHE_HOME": str(folder / "place" / "cache")}
    arguments = [*chosen, f"hydra.run.dir={folder / 'place' / 'out'}"]
    return start(*arguments, cwd=folder, env=env, script="evaluate.py")


def _evaluated(folder: Path) -> dict[str, Any]:
    out = folder / "place" / "out"
    record = to_json(read_evaluation(out / "evaluation.json"))
    entries = [{**entry, "source": None, "file": None} for entry in record.pop("entries")]
    pictures = {path.name for path in out.rglob("*.png")}
    return {**record, "entries": entries, "pictures": pictures}


# Export


def _exported_before(folder: Path) -> None:
    save_generator(generator(1), folder / "new")
    save_generator(generator(2), folder / "place" / "old")


def _export(folder: Path) -> Run:
    out = folder / "place" / "old"
    return start(f"ckpt={folder / 'new'}", f"out={out}", "hydra.run.dir=out", cwd=folder, script="export.py")


def _exported(folder: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in (folder / "place" / "old").iterdir()}


def _check_export(folder: Path) -> None:
    """It is the old generator, the new one, or none; never one's description with the other's weights."""
    out = folder / "place" / "old"
    try:
        images = draw(load_generator(out), [3])
    except CganError:
        return
    config = json.loads((out / "config.json").read_text())
    number = 1 if "license" in config else 2  # export.py writes licences, save_generator alone does not
    assert torch.equal(images, draw(generator(number).eval(), [3])), "the weights are another generator's"


WORKS = {
    "training": Work(
        _nothing,
        _train,
        lambda folder: _trained(folder / "place" / "run"),
        lambda folder: _check_checkpoints(folder / "place" / "run"),
    ),
    "page": Work(
        _nothing,
        _train_from_the_page,
        lambda folder: _trained(_newest_run(folder)),
        lambda folder: _check_checkpoints(_newest_run(folder)),
    ),
    "study": Work(lambda folder: (folder / "place").mkdir(), _search, _searched, _nothing),
    "cache": Work(_pictures, _decode, _decoded, _nothing),
    "evaluation": Work(_untrained, _evaluate, _evaluated, _nothing),
    "export": Work(_exported_before, _export, _exported, _check_export),
}
