"""Full disks, lost rights, too little memory, numbers that are not finite: one line, and nothing lost."""

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from processes import TINY, error_line, start, train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cgan.archive import check_archive
from cgan.callbacks.collapse import Collapse, behind, guesses, spread, warning
from cgan.callbacks.quality import Quality
from cgan.callbacks.status import _cause
from cgan.data.sources import Mnist5k
from cgan.errors import CganError
from cgan.files import write_file
from cgan.metrics.digits import DigitExtractor
from cgan.metrics.features import extract
from cgan.metrics.labels import ClassAgreement
from cgan.metrics.manifold import ClassRecall
from cgan.metrics.metric import RealImages
from cgan.metrics.suite import Suite
from cgan.tracking import TensorBoard, written_into

QUIET = [word for word in TINY if word != "quality.n=100"] + ["quality=none"]


class Disk(NamedTuple):
    """A disk of 3 MB of its own, or, where mounting is not permitted, a folder and a largest size of files."""

    place: Path
    mounted: bool

    def fill(self, left: int = 300_000) -> dict[int, int]:
        """Leave room for pictures and logs, but not for a checkpoint; return the limits for a process to be so."""
        if not self.mounted:
            return {resource.RLIMIT_FSIZE: left}
        space = os.statvfs(self.place)
        with (self.place / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, space.f_bavail * space.f_frsize - left)
        return {}

    def forbid_writing(self) -> None:
        if self.mounted:
            subprocess.run(["mount", "-o", "remount,ro", str(self.place)], check=True)
        elif os.geteuid() == 0:
            pytest.skip("root may write everywhere, and cannot mount here")
        else:
            self.place.chmod(0o555)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    may = os.geteuid() == 0 and shutil.which("mount") is not None
    mounted = may and subprocess.run(mount, check=False).returncode == 0
    yield Disk(place, mounted)
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_the_checkpoint_before_it_whole(disk: Disk, tmp_path: Path) -> None:
    folder = disk.place / "run"
    train(*QUIET, f"hydra.run.dir={folder}", "trainer.max_epochs=1", cwd=tmp_path)
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    words = error_line(start(f"ckpt={folder}", "trainer.max_epochs=2", cwd=tmp_path, limits=disk.fill()))
    assert re.search(r"cannot write .*last\.ckpt: (No space left on device|File too large); free space", words)
    assert (folder / "checkpoints" / "last.ckpt").read_bytes() == before
    assert not list((folder / "checkpoints").glob("*.part"))
    (disk.place / "filler").unlink(missing_ok=True)
    train(f"ckpt={folder}", "trainer.max_epochs=2", cwd=tmp_path)
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["cgan"]["steps"] == 36


def test_a_disk_that_tensorboard_fills_is_one_line(disk: Disk, capfd: pytest.CaptureFixture[str]) -> None:
    """Its file is written by a thread of its own, whose error must neither be lost nor printed twice."""
    if not disk.mounted:
        pytest.skip("cannot mount here")
    logger = TensorBoard(save_dir=disk.place, name="", version="")
    logger.log_metrics({"loss/d": 1.0}, step=0)
    disk.fill(left=0)

    def log() -> None:
        for step in range(100):
            logger.log_metrics({"loss/d": 1.0}, step)
            time.sleep(0.001)  # the thread fails at some point before the end
        logger.finalize("success")

    with pytest.raises(CganError, match=f"cannot write into {disk.place}: No space left"), written_into(disk.place):
        log()
    assert capfd.readouterr().err == ""


def test_a_run_whose_folder_is_moved_names_what_is_gone(tmp_path: Path) -> None:
    run = start(*QUIET, "trainer.max_epochs=1000", "hydra.run.dir=run", cwd=tmp_path)
    run.until((tmp_path / "run" / "checkpoints" / "last.ckpt").exists)
    (tmp_path / "run").rename(tmp_path / "moved")
    gone = rf"cannot use {tmp_path}/run/[^:]+: No such file or directory; it was moved or removed"
    assert re.search(gone, error_line(run))
    train("ckpt=moved", "trainer.max_epochs=2", cwd=tmp_path)


def test_a_writer_that_fails_after_another_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each side of a run has a writer, and a thread: the first error ends the run, the others come when they come."""
    late = TensorBoard(save_dir=tmp_path / "late", name="", version="")
    late.log_metrics({"loss/d": 1.0}, step=0)
    with pytest.raises(FileNotFoundError, match="the first"), written_into(tmp_path):
        raise FileNotFoundError(2, "the first", "x")
    (tmp_path / "late").rename(tmp_path / "moved")

    def log() -> None:
        for step in range(1000):
            late.log_metrics({"loss/d": 1.0}, step)
            late.experiment.flush()

    with pytest.raises(FileNotFoundError, match="events"):
        log()
    assert capfd.readouterr().err == ""


def test_a_place_without_rights_is_one_line(disk: Disk, tmp_path: Path) -> None:
    disk.forbid_writing()
    refused = r"(Read-only file system|Permission denied); free space or choose another place"
    assert re.search(refused, error_line(start(*QUIET, f"hydra.run.dir={disk.place}/run", cwd=tmp_path)))
    with pytest.raises(CganError, match=refused):
        write_file(disk.place / "x.txt", b"x")
    with pytest.raises(CganError, match=r"x\.txt: (Not a directory|File exists)"):
        write_file(Path(__file__) / "x.txt", b"x")


@pytest.mark.slow
def test_too_large_a_batch_says_what_to_lower(tmp_path: Path) -> None:
    large = [
        "data.source.test_per_class=10",
        "data.batch_size=4900",
        "data.steps_per_batch=1",
        "model.generator.width=512",
    ]
    # Far above what the start itself needs, which differs between machines, and far below what the batch needs.
    run = start(*QUIET, *large, cwd=tmp_path, limits={resource.RLIMIT_DATA: 5_000_000_000})
    assert "not enough memory with data.batch_size=4900 and data.steps_per_batch=1: lower these" in error_line(run)


@pytest.fixture
def poison() -> list[str]:
    return [*QUIET, "loss._target_=poisoned.Poisoned", "checkpoint.every_n_batches=1"]


def test_guard_stops_at_the_batch(poison: list[str], tmp_path: Path) -> None:
    run = start(*poison, "+loss.forever=false", "data.steps_per_batch=1", "hydra.run.dir=run", cwd=tmp_path)
    words = error_line(run)
    assert "training diverged in step 3: d_grad_norm=nan, d_loss=nan" in words
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    check_archive(last)
    assert torch.load(last, weights_only=True)["cgan"]["steps"] == 2


def test_guard_skips_and_goes_on(poison: list[str], tmp_path: Path) -> None:
    run = train(*poison, "+loss.forever=false", "guard=skip", "hydra.run.dir=run", cwd=tmp_path)
    assert "Step 3: gradient norm of d is nan; its update is left out" in run.words()
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(weight.isfinite().all() for weight in state["state_dict"].values())
    d_steps, g_steps = ({int(v["step"]) for v in side["state"].values()} for side in state["optimizer_states"])
    assert (d_steps, g_steps) == ({35}, {36})
    run = start(*poison, "+loss.forever=true", "guard=skip", "trainer.max_epochs=20", cwd=tmp_path)
    assert "no finite gradient of d in 100 updates in a row" in error_line(run)


def test_collapse_is_warned_of(tmp_path: Path) -> None:
    """A generator that never learns: its labels mean nothing and, nearly untrained, its pictures are all alike."""
    frozen = ["optimizer.g.lr=0", "callbacks.collapse.evaluations=2", "trainer.max_epochs=3"]
    run = train(*TINY, *frozen, "hydra.run.dir=run", cwd=tmp_path)
    warnings = [line for line in run.words().splitlines() if "Warning:" in line]
    assert ["nearly all the same, for 2 evaluations" in line for line in warnings] == [True, False], "once, not again"
    assert "ignores its labels, for 2 evaluations" in warnings[1]
    board = EventAccumulator(str(tmp_path / "run"))
    board.Reload()
    assert [event.value for event in board.Scalars("warnings/collapse")] == [0.0, 2.0, 2.0]
    assert "warnings/text_summary" in board.Tags()["tensors"]


@pytest.mark.parametrize(
    ("classes", "real", "guessing", "learning"),
    [(10, 0.99, 0.14, 0.16), (2, 0.72, 0.51, 0.53), (1000, 0.97, 0.0014, 0.0016)],
)
def test_agreement_near_chance_is_that_of_guessing(classes: int, real: float, guessing: float, learning: float) -> None:
    """Of two classes half are right by chance, and where real images are misread a perfect generator is, too."""
    for value, expected in ((guessing, True), (learning, False), (real, False)):
        found = {"label_agreement": torch.tensor(value), "real/label_agreement": torch.tensor(real)}
        assert guesses(found, 1 / classes) is expected


def test_a_lost_and_a_starved_class_are_warned_of() -> None:
    """The generator draws eights for threes, and one and the same seven; the other classes are real digits."""
    train, test = (Mnist5k(100).load(split) for split in ("train", "test"))
    drawn = test.images.clone()
    drawn[test.labels == 3] = test.images[test.labels == 8]
    drawn[test.labels == 7] = test.images[test.labels == 7][:1]
    extractor, metrics = DigitExtractor(), {"agreement": ClassAgreement(), "recall": ClassRecall()}
    suite = Suite(extractor, metrics, RealImages(extract(extractor, *train), extract(extractor, *test), 1000))
    measured, real = suite.measure(extract(extractor, drawn, test.labels)).flat(), suite.real.flat()
    values = {**measured, **{f"real/{name}": value for name, value in real.items()}}
    found = {name: torch.tensor(value) for name, value in values.items()}
    assert behind("class_agreement", found, 0.25) == ["class_agreement/3"]
    assert behind("class_recall", found, 0.25) == ["class_recall/3", "class_recall/7"]
    assert (
        behind("class_recall", found | {f"class_recall/{n}": torch.tensor(0.01 * n) for n in range(10)}, 0.25) == []
    ), "all bad"
    assert real["class_recall/7"] > 0.5
    lost = warning("class_agreement/3", 4, found, list("0123456789"))
    assert re.match(
        r"class 3 is lost: [0-5]% of its images are read as it \(real images (9\d|100)%\), for 4 eval", lost
    )
    assert "class 7 is starved" in warning("class_recall/7", 3, found, list("0123456789"))


def test_lost_modes_are_seen_by_what_the_run_had() -> None:
    """Of 1,000 modes 960 are left, which may be chance, then 926; a resumed run remembers the 1,000."""
    collapse = Collapse(evaluations=3, per_class=20, min_variety=0.1, min_of_others=0.25)
    seen = [collapse.signs({"modes": torch.tensor(modes)}, 0.9, 0.1) for modes in (400.0, 1000.0, 960.0, 926.0)]
    assert seen == [[], [], [], ["modes_fell"]]
    resumed = Collapse(evaluations=3, per_class=20, min_variety=0.1, min_of_others=0.25)
    resumed.load_state_dict(collapse.state_dict())
    found = {"modes": torch.tensor(926.0)}
    assert resumed.signs(found, 0.9, 0.1) == ["modes_fell"]
    assert warning("modes_fell", 3, found, []).startswith(
        "modes are lost: 926 are left, for 3 evaluations; lower optimizer"
    )
    assert resumed.signs({}, 0.05, 0.1) == ["variety"]


def test_a_run_that_broke_is_seen_by_what_it_had() -> None:
    """Coloured digits with penalty.gamma=8 after 103,000 and 154,000 images; below 0.15 the generator guesses."""
    collapse = Collapse(evaluations=1, per_class=20, min_variety=0.1, min_of_others=0.25)
    real = {"real/label_agreement": torch.tensor(0.991)}
    found = [real | {"label_agreement": torch.tensor(value)} for value in (0.2, 0.994, 0.55, 0.267, 0.12)]
    signs = [collapse.signs(values, 0.9, 0.1) for values in found]
    assert signs == [[], [], [], ["label_agreement_fell"], ["label_agreement"]]
    said = warning("label_agreement_fell", 1, found[3], [])
    assert said.startswith("training broke: 27% of the images are read as asked, where twice as many were, for 1 eval")


@pytest.mark.parametrize(
    ("values", "lost"),
    [([0.97, 0.0], [1]), ([0.9] * 5 + [0.0] * 5, [5, 6, 7, 8, 9]), ([0.2, 0.1, 0.0], []), ([0.9], [])],
)
def test_lost_classes_are_seen_however_many_there_are(values, lost) -> None:
    found = {f"class_recall/{label}": torch.tensor(value) for label, value in enumerate(values)}
    found |= {f"real/{name}": torch.tensor(1.0) for name in found}
    assert behind("class_recall", found, 0.25) == [f"class_recall/{label}" for label in lost]


@pytest.mark.parametrize(
    ("training", "evaluating", "evaluations", "due"),
    [(0, 0, 0, True), (1000, 75, 3, True), (1000, 105, 3, False), (10, 30, 1, True), (10, 31, 1, False)],
)
def test_an_evaluation_beyond_its_share_is_left_out(training, evaluating, evaluations, due) -> None:
    """With one more as long as those before: 100 of 1,100 seconds are within a tenth, 140 of 1,140 not; 60 always."""
    quality = Quality(DigitExtractor(), {}, n=100, every_n_epochs=2, seed=0)
    point = {"point": {"images_seen": 1, "values": {}}, "class_values": {}, "seconds": 1.0}
    seconds = {"training": training, "evaluating": evaluating}
    quality.load_state_dict({"history": [point] * evaluations, "protocol": {}, "seconds": seconds})
    assert (quality.due(6, 10), quality.due(7, 10), quality.due(9, 9)) == (due, False, True)
    assert quality.share == pytest.approx(evaluating / max(training + evaluating, 1))
    with pytest.raises(CganError, match=r"quality.max_share=0: expected a share above 0"):
        Quality(DigitExtractor(), {}, n=100, every_n_epochs=1, seed=0, max_share=0)


def test_spread_is_the_deviation_within_a_class() -> None:
    images = torch.tensor([0, 200, 10, 10], dtype=torch.uint8).view(4, 1, 1, 1)
    assert spread(images, torch.tensor([0, 0, 1, 1]), [0, 1, 2]) == pytest.approx((100**2 / 2) ** 0.5)
    assert spread(images, torch.tensor([0, 1, 2, 3]), range(4)) == 0


def test_the_spread_of_very_many_images_is_that_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgan.callbacks.collapse.MOST", 2)
    images = torch.tensor([0, 9, 9, 200, 9, 9], dtype=torch.uint8).view(6, 1, 1, 1)
    assert spread(images, torch.zeros(6, dtype=torch.long), [0]) == 100


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KeyboardInterrupt(), "SIGINT"),
        (SystemExit(143), "SIGTERM"),
        (SystemExit(200), "sys.exit(200)"),
        (SystemExit("enough"), "sys.exit('enough')"),
        (SystemExit(), "sys.exit(None)"),
    ],
)
def test_the_record_says_what_ended_a_run(error: BaseException, cause: str) -> None:
    assert _cause(error) == cause
