"""A SLURM cluster on this machine: munge, one controller and two nodes, which listen on free ports of loopback."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
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
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes=ALL Default=YES State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL State=UP PriorityTier=2
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

    def kill(self) -> None:
        """End all that runs for the job at once, SLURM's supervisors first, so that nobody is left to report it."""
        mine = [process for process in _processes() if _link(process / "cwd") == self.cwd]
        parents = {Path("/proc", (process / "stat").read_text().rpartition(")")[2].split()[1]) for process in mine}
        supervisors = [process for process in parents if (process / "cmdline").read_bytes().startswith(b"slurmstepd")]
        for process in [*supervisors, *mine]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)

    def wait(self) -> str:
        """Wait for the job's end and return its state, such as ``COMPLETED``."""
        return self.until(self.ended).state()["JobState"]


class Cluster:
    """Daemons that end with ``daemons``, and the jobs they run; ``folder`` has a short name, as sockets need."""

    def __init__(self, folder: Path, daemons: contextlib.ExitStack) -> None:
        self.folder, self.daemons = folder, daemons
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
        self.env = clean | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "MASTER_ADDR": "127.0.0.1",  # what a cluster's name service says of a job's first node
            "PATH": f"{Path(sys.executable).parent}:{SBIN}",
            "OMP_NUM_THREADS": "1",
        }

    def start(self, *command: str) -> None:
        """Start a daemon."""
        with (self.folder / "daemons.log").open("a") as output:
            process = subprocess.Popen(command, env=self.env, stdout=output, stderr=output, cwd=self.folder)
        self.daemons.callback(process.wait, 60)
        self.daemons.callback(process.terminate)

    def start_node(self, name: str) -> None:
        self.start("slurmd", "-D", "-N", name)

    def start_all(self) -> None:
        files = {"socket": "munge.sock", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self.start("munged", "--foreground", "--force", *(f"--{key}={self.folder / files[key]}" for key in files))
        self.start("slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until both nodes have answered and run nothing."""
        command = ("sinfo", "--noheader", "--Node", "--format=%t")
        logs = self.folder.glob("*.log")
        _wait(
            lambda: set(_output(*command, env=self.env, check=False).split()) == {"idle"},
            60,
            lambda: "".join(path.read_text() for path in logs),
        )

    def submit(self, *arguments: str, cwd: Path, options: tuple[str, ...] = ()) -> Job:
        number = _output("sbatch", "--parsable", *options, str(SCRIPT), *arguments, env=self.env, cwd=cwd)
        return Job(number.strip(), cwd, self.env)

    def claim_all(self) -> None:
        """Run something urgent on all nodes at once; SLURM puts other jobs back into the queue for it."""
        _output("srun", "--partition=urgent", "--nodes=2", "--exclusive", "true", env=self.env)

    def lose(self, node: str, job: Job) -> None:
        """Let a node die with the job that it runs; the controller is told, which else waits for minutes."""
        os.kill(int((self.folder / f"{node}.pid").read_text()), signal.SIGKILL)
        job.kill()
        _output("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=dead", env=self.env)

    def cancel_all(self) -> None:
        _output("scancel", "--user", getpass.getuser(), env=self.env)
        self.wait_until_idle()


@contextlib.contextmanager
def started() -> Iterator[Cluster]:
    """Start a cluster, and end all of it however the tests end."""
    with tempfile.TemporaryDirectory(prefix="slurm_") as name, contextlib.ExitStack() as daemons:
        folder = Path(name)
        for state in ("state", *NODES):
            (folder / state).mkdir()
        (folder / "key").write_bytes(os.urandom(64))
        (folder / "key").chmod(0o400)
        names = {"host": socket.gethostname().partition(".")[0], "user": getpass.getuser(), "folder": folder}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**names, ports=_free_ports(3)))
        cluster = Cluster(folder, daemons)
        cluster.start_all()
        try:
            yield cluster
        finally:
            cluster.cancel_all()


def _wait(condition: Callable[[], Any], seconds: float, words: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} s:\n{words()}"
        time.sleep(0.1)


def _processes() -> Iterator[Path]:
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def _link(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:  # it has ended, or is not ours
        return None


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
