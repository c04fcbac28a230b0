"""Statistics of every suite: percentiles of one run, medians over rounds."""

from collections.abc import Sequence
from math import ceil
from statistics import median


def percentile(ordered: Sequence[float], share: float) -> float:
    """The lowest of the ascending values that at least `share` (0…1) of them do not exceed: the nearest rank."""
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def percentile_of_counts(ordered: Sequence[tuple[float, int]], share: float) -> float:
    """The same for a histogram: (value, how often it was seen), the values ascending."""
    total, seen = sum(count for _, count in ordered), 0
    for value, count in ordered:
        seen += count
        if count and seen >= share * total:
            return value
    raise ValueError("no values")


def median_of(values: Sequence[float | None]) -> float | None:
    """The median of the values that are not None; None if all are."""
    present = [value for value in values if value is not None]
    return median(present) if present else None


def ratio(over: float | None, under: float | None) -> float | None:
    """A quotient of two figures of one round; None when either is missing."""
    return None if over is None or not under else over / under
