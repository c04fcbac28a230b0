"""When a rejected version is tried again although its files have not changed."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 600.0
"""Seconds until a version is tried again: doubled with each failure, up to a bound."""

JITTER = 0.25
"""Share of a pause by which it varies, so that the replicas of a server do not all read at once."""


@dataclass(slots=True)
class _Retry:
    pause: float
    due: float


class Retries:
    """The versions to try again, and when.

    clock  the time in seconds
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._retries: dict[int, _Retry] = {}

    def failed(self, version: int) -> None:
        """`version` was rejected for a reason that may be temporary."""
        before = self._retries.get(version)
        pause = min(2 * before.pause, LONGEST_PAUSE) if before else FIRST_PAUSE
        wait = pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret  # nosec B311
        self._retries[version] = _Retry(pause, self._clock() + wait)

    def settled(self, version: int) -> None:
        """`version` is good, or bad until its files change."""
        self._retries.pop(version, None)

    def due(self, version: int) -> bool:
        """Whether it is time to try `version` again."""
        retry = self._retries.get(version)
        return retry is not None and self._clock() >= retry.due

    def keep(self, versions: Iterable[int]) -> None:
        """Forgets all others."""
        kept = set(versions)
        self._retries = {version: retry for version, retry in self._retries.items() if version in kept}
