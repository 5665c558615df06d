"""A SLURM cluster on this machine: munge, one controller and two nodes, which listen on free ports of loopback."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo")
SBIN = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
INSTALLED = all(shutil.which(name, path=SBIN) for name in PROGRAMS)
SCRIPT = Path(__file__).parents[1] / "examples" / "train.sbatch"
NODES = ("n1", "n2")
CONFIGURATION = """\
ClusterName=cgan
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.sock,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP
"""
# A requeued job waits until its old credential (cred_expire) cannot be used any more: two minutes, if not set.


class Job:
    """A job that ``examples/train.sbatch`` describes; it writes into the folder from which it was submitted."""

    def __init__(self, number: str, cwd: Path, env: dict[str, str]) -> None:
        self.number, self.cwd, self.env = number, cwd, env

    @property
    def folder(self) -> Path:
        (folder,) = (self.cwd / "logs" / "train" / "runs").glob(f"slurm_{self.number}_*")
        return folder

    def words(self) -> str:
        return "".join(path.read_text() for path in self.cwd.glob(f"*-{self.number}.out"))

    def state(self) -> dict[str, str]:
        shown = _output("scontrol", "show", "job", self.number, env=self.env)
        return dict(word.split("=", 1) for word in shown.split() if "=" in word)

    def ended(self) -> bool:
        return self.state()["JobState"] in {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

    def until(self, condition: Callable[[], Any], seconds: float = 240) -> "Job":
        _wait(condition, seconds, lambda: f"{self.state()}\n{self.words()}")
        return self

    def saved(self) -> "Job":
        """Wait for the first checkpoint."""
        return self.until(lambda: list(self.cwd.glob(f"logs/train/runs/slurm_{self.number}_*/checkpoints/last.ckpt")))

    def cancel(self, *options: str) -> "Job":
        _output("scancel", *options, self.number, env=self.env)
        return self

    def wait(self) -> str:
        """Wait for the job's end and return its state, such as ``COMPLETED``."""
        return self.until(self.ended).state()["JobState"]


class Cluster:
    """Submits jobs."""

    def __init__(self, configuration: Path) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        self.env = clean | {
            "SLURM_CONF": str(configuration),
            "MASTER_ADDR": "127.0.0.1",  # what a cluster's name service says of a job's first node
            "PATH": f"{Path(sys.executable).parent}:{SBIN}",
            "OMP_NUM_THREADS": "1",
        }

    def submit(self, *arguments: str, cwd: Path, options: tuple[str, ...] = ()) -> Job:
        number = _output("sbatch", "--parsable", *options, str(SCRIPT), *arguments, env=self.env, cwd=cwd)
        return Job(number.strip(), cwd, self.env)

    def ready(self) -> bool:
        return (
            _output("sinfo", "--noheader", "--Node", "--format=%t", env=self.env, check=False).split() == ["idle"] * 2
        )

    def cancel_all(self) -> None:
        _output("scancel", "--user", getpass.getuser(), env=self.env)
        _wait(self.ready, 60, lambda: _output("scontrol", "show", "jobs", env=self.env))


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """Start all daemons, and end them however the tests end; ``folder`` has a short name, as sockets need."""
    for name in ("state", *NODES):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(64))
    (folder / "key").chmod(0o400)
    configuration = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    configuration.write_text(
        CONFIGURATION.format(host=host, user=getpass.getuser(), folder=folder, ports=_free_ports(3))
    )
    cluster = Cluster(configuration)
    files = {"socket": "munge.sock", "key-file": "key", "pid-file": "pid", "log-file": "munge.log", "seed-file": "seed"}
    with contextlib.ExitStack() as daemons:
        munge = [f"--{option}={folder / name}" for option, name in files.items()]
        daemons.enter_context(_daemon("munged", "--foreground", "--force", *munge, cluster=cluster, folder=folder))
        daemons.enter_context(_daemon("slurmctld", "-D", cluster=cluster, folder=folder))
        for node in NODES:
            daemons.enter_context(_daemon("slurmd", "-D", "-N", node, cluster=cluster, folder=folder))
        _wait(cluster.ready, 60, lambda: "".join(path.read_text() for path in folder.glob("*.log")))
        daemons.callback(cluster.cancel_all)
        yield cluster


def _wait(condition: Callable[[], Any], seconds: float, words: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} s:\n{words()}"
        time.sleep(0.1)


@contextlib.contextmanager
def _daemon(*command: str, cluster: Cluster, folder: Path) -> Iterator[None]:
    with (folder / "daemons.log").open("a") as output:
        process = subprocess.Popen(command, env=cluster.env, stdout=output, stderr=output, cwd=folder)
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _output(*command: str, env: dict[str, str], cwd: Path | None = None, check: bool = True) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
