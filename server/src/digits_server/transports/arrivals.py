"""Counts the arrival of calls: a stop waits until no more arrive."""

import asyncio
from collections.abc import Callable
from math import inf
from time import monotonic

from digits_server.transports.limits import QUIET_SECONDS

LOOK_SECONDS = 0.005
"""Time between two checks, at a stop, whether calls have arrived."""

HELD_SHARE = 0.1
"""Share of a held call's remaining time after which a stop goes on. The call is answered only once clients have been
told to use another connection, and that takes time too."""


class Arrivals:
    """Counts arrivals, and tracks how long held calls can wait for their answers."""

    def __init__(self) -> None:
        self.count = 0
        self._answer_by = inf
        """When the first held call must be answered, in seconds of `time.monotonic`."""

    def hold(self, left: float | None) -> None:
        """A call that has `left` seconds until its deadline is held."""
        if left is not None:
            self._answer_by = min(self._answer_by, monotonic() + left * HELD_SHARE)

    async def quiet(self, seconds: float, busy: Callable[[], bool] = lambda: False) -> None:
        """Returns when no call has arrived for QUIET_SECONDS in which the server was not `busy`.

        It returns earlier after `seconds`, or when a held call must be answered.
        """
        end = monotonic() + seconds
        count, looks = self.count, 0
        while looks * LOOK_SECONDS < QUIET_SECONDS:  # counts checks, not time: on a busy machine calls may arrive late
            if monotonic() >= min(end, self._answer_by):
                return
            await asyncio.sleep(LOOK_SECONDS)
            looks = looks + 1 if count == self.count and not busy() else 0
            count = self.count
