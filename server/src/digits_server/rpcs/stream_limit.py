"""How many streams there may be."""

from collections.abc import Iterator
from contextlib import contextmanager

from digits_server.errors import Overloaded
from digits_server.observability.rejection_counts import Rejections

RETRY_AFTER_MS = 1000
"""Milliseconds after which a refused caller may try again. Streams last."""


class Room:
    """For so many streams at once."""

    def __init__(self, most: int, rejections: Rejections) -> None:
        self._most = most
        self._rejections = rejections
        self._open = 0

    @contextmanager
    def for_one(self) -> Iterator[None]:
        """Holds the place of one more. Raises Overloaded when there is none."""
        if self._open >= self._most:
            error = Overloaded(f"{self._open} streams are open, as many as may be (max_streams)", RETRY_AFTER_MS)
            self._rejections.count(error)
            raise error
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
