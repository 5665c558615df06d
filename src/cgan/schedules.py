"""Factors that change over a run: functions of progress, the share of the run's images already seen (0 to 1)."""

import math
from collections.abc import Callable

from cgan.errors import check_number, check_share

Schedule = Callable[[float], float]
"""Progress in [0, 1] -> a factor on the configured value."""


def constant(progress: float) -> float:
    """Return 1: always the configured value."""
    return 1.0


def cosine_decay(progress: float, start: float) -> float:
    """Keep the configured value until ``start``, in [0, 1), then fall to 0 at the end along a half cosine.

    Raises:
        CganError: ``start`` is out of range.
    """
    check_share("schedule.lr.start", start, below=True)
    done = (progress - start) / (1 - start)
    return (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


def burn_in(progress: float, end: float, until: float) -> float:
    """Move from the configured value to ``end`` times it along a half cosine, then stay; ``until`` is in (0, 1].

    Raises:
        CganError: A value is out of range.
    """
    check_number("schedule.penalty.end", end, 0)
    check_share("schedule.penalty.until", until, above=True)
    share = (1 - math.cos(math.pi * min(progress / until, 1.0))) / 2
    return 1 + (end - 1) * share
