"""Random streams named by integers, so that a result depends on its name and not on what ran before it."""

import numpy as np
import torch


def mix(*key: int) -> int:
    """Mix non-negative integers, such as ``(seed, epoch)``, into one 63-bit seed.

    Neighbouring keys give unrelated streams, which ``seed + epoch`` would not: run 1's epoch 2 would repeat run 2's
    epoch 1. Keys that differ in zeros at their end alone, ``(1,)`` and ``(1, 0)``, are one key to NumPy.
    """
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_stream(*key: int) -> torch.Generator:
    """Return a CPU generator for the stream that ``key`` names."""
    return torch.Generator().manual_seed(mix(*key))


def numpy_stream(*key: int) -> np.random.Generator:
    """Return a NumPy generator for the stream that ``key`` names; its draws do not depend on how many are asked."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))


def seed_global_streams(device: torch.device, seed: int) -> None:
    """Start torch's global streams of the CPU and of ``device`` at ``seed``.

    The same as ``torch.manual_seed``, which also turns to accelerators that are not in use and formats a stack trace
    for each: about as slow as a step of a small optimiser.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
