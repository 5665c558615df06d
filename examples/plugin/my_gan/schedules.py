"""A schedule: a factor on the learning rate that falls in a line."""


def linear(progress: float, end: float) -> float:
    """Fall from 1 to ``end``; progress is the share of the run's images already seen, 0 to 1."""
    return 1 + (end - 1) * progress
