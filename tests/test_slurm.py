"""On a real SLURM: jobs that are interrupted go on, and nodes train together. The jobs are `examples/train.sbatch`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import INSTALLED, Cluster, started
from processes import ROOT, TINY, train
from test_ddp import PLAIN, assert_same_curves
from test_resume import SAVED_OFTEN, assert_same_run, checkpoint
from test_sweeps import FAST, table

pytestmark = [
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(not INSTALLED, reason="needs slurm-wlm and munge"),
]


LONGER = [*SAVED_OFTEN, "data.source.test_per_class=440"]  # 150 steps: time enough for SLURM to interrupt them


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("uninterrupted")
    train(*LONGER, "hydra.run.dir=run", cwd=cwd)
    return cwd / "run"


def test_a_job_that_slurm_warns_of_its_time_limit_requeues_itself_and_ends_in_the_same_bits(
    cluster: Cluster, uninterrupted: Path, tmp_path: Path
) -> None:
    job = cluster.submit(*LONGER, cwd=tmp_path).saved().cancel("--signal=USR1")  # as sbatch's --signal sends it
    assert job.wait() == "COMPLETED", job.words()
    assert job.state()["Restarts"] == "1"
    assert "Stopped by SIGUSR1" in job.words()
    assert_same_run(job.folder, uninterrupted)


@pytest.mark.slow
def test_a_job_that_is_warned_before_training_starts_requeues_itself_too(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(*TINY, "trainer.max_epochs=1", cwd=tmp_path)
    job.until(lambda: "Loading PyTorch" in job.words()).cancel("--signal=USR1")
    assert job.wait() == "COMPLETED", job.words()
    assert job.state()["Restarts"] == "1"
    assert "Stopped by SIGUSR1 before training started" in job.words()
    assert checkpoint(job.folder)["cgan"]["steps"] == 18


@pytest.mark.slow
def test_a_preempted_job_goes_on_to_the_same_bits(cluster: Cluster, uninterrupted: Path, tmp_path: Path) -> None:
    job = cluster.submit(*LONGER, cwd=tmp_path).saved()
    cluster.claim_all()
    assert job.wait() == "COMPLETED", job.words()
    assert job.state()["Restarts"] == "1"
    assert "Stopped by SIGTERM" in job.words()
    assert_same_run(job.folder, uninterrupted)


@pytest.mark.slow
def test_a_job_whose_node_dies_goes_on_at_another_and_ends_in_the_same_bits(
    cluster: Cluster, uninterrupted: Path, tmp_path: Path
) -> None:
    job = cluster.submit(*LONGER, cwd=tmp_path).saved()
    node = job.state()["NodeList"]
    cluster.lose(node, job)
    assert job.wait() == "COMPLETED", job.words()
    assert job.state()["Restarts"] == "1"
    assert job.state()["NodeList"] != node
    assert_same_run(job.folder, uninterrupted)
    cluster.start_node(node)
    cluster.wait_until_idle()


@pytest.mark.slow
def test_a_cancelled_job_leaves_a_checkpoint(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.submit(*SAVED_OFTEN, "trainer.max_epochs=1000", cwd=tmp_path).saved().cancel()
    assert job.wait() == "CANCELLED"
    job.until(lambda: "Stopped by SIGTERM" in job.words())
    assert checkpoint(job.folder)["cgan"]["steps"] > 0


@pytest.mark.slow
def test_two_nodes_train_as_one_process_with_twice_the_batch(cluster: Cluster, tmp_path: Path) -> None:
    train(*PLAIN, "hydra.run.dir=run", cwd=tmp_path)
    arguments = [*PLAIN, "trainer=ddp_cpu", "trainer.num_nodes=2", "trainer.devices=1", "data.batch_size=4"]
    job = cluster.submit(*arguments, cwd=tmp_path, options=("--nodes=2", "--ntasks-per-node=1"))
    assert job.wait() == "COMPLETED", job.words()
    assert "Global batch: 2 x 4 = 8 images" in job.words()
    assert "site-packages" not in job.words()  # no warnings
    assert_same_curves(job.folder, tmp_path / "run")


@pytest.mark.slow
def test_a_sweep_of_jobs_names_the_one_that_failed(cluster: Cluster, tmp_path: Path) -> None:
    """Without SLURM's accounting, which submitit asks for, too."""
    command = [sys.executable, str(ROOT / "train.py"), "-m", *FAST, "data.batch_size=8,99999", "hydra.sweep.dir=sweep"]
    launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10"]
    done = subprocess.run([*command, *launcher], cwd=tmp_path, env=cluster.env, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "1 of 2 runs failed: run 1: " in done.stderr.splitlines()[-1]
    assert [row[:2] for row in table(tmp_path / "sweep")][2] == ["1", "failed"]
    assert checkpoint(tmp_path / "sweep" / "0")["cgan"]["steps"] > 0
    assert done.stderr.count("accounting storage is disabled") < 20


@pytest.mark.slow
def test_two_jobs_that_start_together_have_two_folders(cluster: Cluster, tmp_path: Path) -> None:
    jobs = [cluster.submit(*TINY, cwd=tmp_path) for _ in range(2)]
    assert [job.wait() for job in jobs] == ["COMPLETED"] * 2, "".join(job.words() for job in jobs)
    assert jobs[0].folder != jobs[1].folder
    assert all(checkpoint(job.folder)["cgan"]["steps"] == 36 for job in jobs)
