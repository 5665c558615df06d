"""The machine, in words that a table of results can quote."""

import platform
from pathlib import Path

import torch

from cgan.hardware import available_cores


def describe_machine(device: torch.device | str, devices: int = 1) -> str:
    """Say what computes, for example ``2 CPU cores (AMD EPYC 7763)`` or ``1 x NVIDIA H200``."""
    if torch.device(device).type == "cuda":
        return f"{devices} x {torch.cuda.get_device_name(device)}"
    return f"{available_cores()} CPU cores ({_processor()})"


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
