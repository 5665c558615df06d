"""What computes: its name, the cores given to this process, the faster matrix product; torch finds none by itself."""

import ctypes
import math
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path

import torch

from cgan.errors import CganError

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
LARGEST_ERROR = 1e-5
M_MMAP_THRESHOLD = -3
"""A parameter of glibc's ``mallopt``, in malloc.h."""
_CGROUP = Path("/sys/fs/cgroup")


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Return the number of cores that affinity (``taskset``, SLURM) and a container's CPU quota leave, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota(cgroup))))


def use_hardware_well() -> None:
    """Set torch up for this machine: its threads and its matrix products. Results stay, up to float rounding."""
    use_available_cores()
    use_fast_products()


def use_available_cores() -> None:
    """Lower torch's threads to the available cores: more would only wait for each other.

    torch counts the machine's cores, so in a container with two of sixty-four cores it would start sixty-four threads.
    Fewer threads (``OMP_NUM_THREADS``) stay as they are.
    """
    torch.set_num_threads(min(torch.get_num_threads(), available_cores()))


def use_fast_products() -> None:
    """Let oneDNN multiply float32 matrices on CPUs with AVX-512, if it does so in float32.

    torch leaves them to MKL, which uses half the width of an AMD processor. The switch's name allows bfloat16; a
    processor whose oneDNN makes use of that is found out by a product, and keeps MKL.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return
    products = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    former = products.fp32_precision
    products.fp32_precision = "bf16"
    if product_error() > LARGEST_ERROR:
        products.fp32_precision = former


def multiplies_bfloat16() -> bool:
    """Tell whether this processor is known to multiply in bfloat16; others emulate it, a tenth as fast as float32."""
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def give_memory_back() -> None:
    """Let glibc give blocks of a megabyte and more back to the system as soon as they are freed; for servers.

    By itself it raises this bound up to 32 MB with the first block that is freed, and keeps what is smaller for the
    thread that used it: memory grew with threads and with the variety of requests. See ``mallopt(3)``.
    """
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


def look_for_gpus_once() -> None:
    """Spare a machine without a GPU the search for NVIDIA's library in every step of every optimiser.

    torch's optimisers ask at each step whether there is a GPU. Lightning, when imported, has that question answered by
    loading the library, which survives a fork but searches the disk each time where there is none: up to an eighth of
    a small network's training step. Without a GPU there is nothing that a fork could break.
    """
    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)


def check_device(device: str) -> None:
    """Refuse a device that torch does not find."""
    if device != "cpu" and not torch.cuda.is_available():
        raise CganError(f"device={device}: there is no such device here that torch can use; use device=cpu")


def compile_mode(choice: bool | str) -> str | None:
    """Turn ``compile=`` into a mode of ``torch.compile``, None for not at all.

    Raises:
        CganError: There is no such mode, or no C++ compiler, which torch.compile needs on CPU and GPU.
    """
    if choice is False:
        return None
    mode = "default" if choice is True else choice
    if mode not in COMPILE_MODES:
        raise CganError(f"compile={mode}: expected true, false or one of {', '.join(COMPILE_MODES)}")
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++", "cl")):
        raise CganError("compile=true needs a C++ compiler: install g++, name one in CXX, or leave compile out")
    return mode


def describe_hardware(device: torch.device | str, devices: int = 1) -> str:
    """Name what computes, for example ``2 CPU cores (AMD EPYC 7763)`` or ``1 x NVIDIA H200``."""
    if torch.device(device).type == "cuda":
        return f"{devices} x {torch.cuda.get_device_name(device)}"
    return f"{available_cores()} CPU cores ({processor()})"


def processor() -> str:
    """Return the name of the processor."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def product_error() -> float:
    """Multiply two float32 matrices; return ``|product - exact| / |exact|``: 1e-6 in float32, 3e-3 in bfloat16."""
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(128, 512, generator=stream), torch.randn(512, 256, generator=stream)
    exact = a.double() @ b.double()
    return float((a @ b - exact).norm() / exact.norm())


def _quota(cgroup: Path) -> float:
    """Read the CPU quota in cores, of control groups version 2 or 1; infinite where there is none."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no control groups, or "max": no quota
        return math.inf
