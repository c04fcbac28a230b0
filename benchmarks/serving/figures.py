"""Statistics of the suite: percentiles of one run, medians over rounds."""

from collections.abc import Sequence
from math import ceil
from statistics import median


def percentile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least `share` (0…1) of the ascending values do not exceed: the nearest rank."""
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def median_of(values: Sequence[float | None]) -> float | None:
    """The median of the values there are; None when there is none."""
    present = [value for value in values if value is not None]
    return median(present) if present else None


def ratio(over: float | None, under: float | None) -> float | None:
    """A quotient of two figures of one round; None when either is missing."""
    return None if over is None or not under else over / under
