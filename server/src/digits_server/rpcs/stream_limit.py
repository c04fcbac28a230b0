"""The limits of open streams: of one RPC, and on one connection."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from digits_server.errors import Overloaded
from digits_server.observability.rejection_counts import Rejections

RETRY_AFTER_MS = 1000
"""Milliseconds after which a rejected caller may try again. Streams last long."""


class StreamLimit:
    """At most `most` streams at once, of which `most_each` are on one connection."""

    def __init__(self, most: int, most_each: int, rejections: Rejections) -> None:
        self._most = most
        self._most_each = most_each
        self._rejections = rejections
        self._open: Counter[Hashable] = Counter()

    @contextmanager
    def for_one(self, peer: Hashable) -> Iterator[None]:
        """Holds a place for one more stream of the connection `peer`. Raises Overloaded if no place is free."""
        if self._open.total() >= self._most:
            raise self._rejected(f"{self._open.total()} streams are open; at most {self._most} may be (max_streams)")
        if self._open[peer] >= self._most_each:
            raise self._rejected(
                f"{self._open[peer]} streams are open on this connection; at most {self._most_each} may be "
                "(max_connection_streams)"
            )
        self._open[peer] += 1
        try:
            yield
        finally:
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    def _rejected(self, message: str) -> Overloaded:
        error = Overloaded(message, RETRY_AFTER_MS)
        self._rejections.count(error)
        return error
