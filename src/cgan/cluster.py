"""What a launcher or a cluster tells a process, and how it gives a job back before anything was trained."""

import os
import signal
import subprocess
import sys
from types import FrameType


def started_again() -> bool:
    """Whether this process may have been started again after an end that was not its own: by SLURM or torchrun.

    torchrun does not tell a first start from a later one (its count is that of one node), and expects a script to go on
    from the checkpoint that it finds.
    """
    return requeued() or "TORCHELASTIC_RUN_ID" in os.environ


def requeued() -> bool:
    """Whether SLURM has started this job again."""
    return os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def is_first_process() -> bool:
    """Whether this is the first of the processes that train one model together."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0"))) == "0"


def requeue() -> None:
    """Put this SLURM job back into the queue."""
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)


def requeue_until_training() -> None:
    """Let SIGUSR1 put a SLURM job back into the queue before training starts, when nothing is there to be saved."""
    if "SLURM_JOB_ID" in os.environ:
        signal.signal(signal.SIGUSR1, stop_at_once)


def stop_at_once(number: int, frame: FrameType | None) -> None:
    """Handle a signal before training starts: end with status 128 + ``number``; SIGUSR1 also requeues.

    Raises:
        SystemExit: Always.
    """
    print(f"\nStopped by {signal.Signals(number).name} before training started", file=sys.stderr)
    if number == signal.SIGUSR1 and is_first_process():
        requeue()
    raise SystemExit(128 + number)
