"""Factors that change over a run: functions of progress, the share of the run's images already seen (0 to 1)."""

import math
from collections.abc import Callable

Schedule = Callable[[float], float]
"""Progress in [0, 1] -> a factor on the configured value."""


class Constant:
    """Always the configured value."""

    def __call__(self, progress: float) -> float:
        """Return 1."""
        return 1.0


class CosineDecay:
    """Keep the configured value until ``start``, then fall to 0 at the end along a half cosine.

    Args:
        start: Progress at which the fall begins, in [0, 1).
    """

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, progress: float) -> float:
        """Return the factor at ``progress``."""
        done = (progress - self.start) / (1 - self.start)
        return (1 + math.cos(math.pi * min(max(done, 0.0), 1.0))) / 2


class BurnIn:
    """Move from the configured value to ``end`` times it along a half cosine, then stay.

    Args:
        end: The factor after the burn-in.
        until: Progress at which the burn-in ends, in (0, 1].
    """

    def __init__(self, end: float, until: float) -> None:
        self.end = end
        self.until = until

    def __call__(self, progress: float) -> float:
        """Return the factor at ``progress``."""
        share = (1 - math.cos(math.pi * min(progress / self.until, 1.0))) / 2
        return 1 + (self.end - 1) * share
