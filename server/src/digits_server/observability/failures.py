"""Unexpected errors: each kind is logged in full once, so callers cannot fill the log with them."""

import logging
from time import monotonic

log = logging.getLogger(__name__)

KEPT = 100
"""Kinds of failures that are remembered and logged in full once; further kinds are only counted."""

AGAIN_SECONDS = 10.0
"""Seconds between two log lines about failures that were already logged in full."""


class Failures:
    """The failures of one process. Two failures from the same line of code are of the same kind."""

    def __init__(self) -> None:
        self._known: set[tuple[str, str, int]] = set()
        self._again = 0
        self._said = -AGAIN_SECONDS

    def report(self, what: str, error: BaseException, request_id: str) -> None:
        """`what` failed with `error`, a fault of this server."""
        place = _place(error)
        if place not in self._known and len(self._known) < KEPT:
            self._known.add(place)
            log.error("%s failed", what, exc_info=error, extra={"request_id": request_id})
            return
        self._again += 1
        now = monotonic()
        if now - self._said >= AGAIN_SECONDS:
            said = "%s failed again; %d requests so far failed in ways that this log shows in full"
            log.error(said, what, self._again, extra={"request_id": request_id})
            self._said = now


def _place(error: BaseException) -> tuple[str, str, int]:
    """The type of an error, and the file and line it was raised from."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return type(error).__name__, last.tb_frame.f_code.co_filename if last else "", last.tb_lineno if last else 0
