"""The limits of open streams: of one RPC, and on one connection."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from digits_server.errors import Overloaded

RETRY_AFTER_MS = 1000
"""Milliseconds after which a rejected caller may try again. Streams last long."""


class StreamLimit:
    """At most `most` streams at once, of which `most_each` are on one connection. Lives on the event loop.

    gives_way  whether a connection with fewer streams gets a place even if all are taken: the oldest stream of the
               connection with the most streams is then ended
    """

    def __init__(self, most: int, most_each: int, *, gives_way: bool = False) -> None:
        self._most = most
        self._most_each = most_each
        self._gives_way = gives_way
        self._open: defaultdict[Hashable, dict[asyncio.Timeout, None]] = defaultdict(dict)
        """By connection, its streams in the order in which they began."""
        self._count = 0

    @asynccontextmanager
    async def for_one(self, peer: Hashable) -> AsyncIterator[None]:
        """Holds a place for one more stream of the connection `peer`.

        Raises Overloaded if no place is free, and when the stream is ended to make room for another one.
        """
        own = len(self._open[peer]) if peer in self._open else 0
        if own >= self._most_each:
            raise Overloaded(
                f"{own} streams are open on this connection; at most {self._most_each} may be (max_connection_streams)",
                RETRY_AFTER_MS,
            )
        if self._count >= self._most and not (self._gives_way and self._make_room(own)):
            raise Overloaded(
                f"{self._count} streams are open; at most {self._most} may be (max_streams)", RETRY_AFTER_MS
            )
        stream = asyncio.timeout(None)
        try:
            async with stream:
                self._open[peer][stream] = None
                self._count += 1
                try:
                    yield
                finally:
                    self._remove(peer, stream)
        except TimeoutError as error:
            if not stream.expired():
                raise
            raise Overloaded(
                f"ended to make room for another connection: all {self._most} streams (max_streams) were open, and "
                "this connection had the most of them",
                RETRY_AFTER_MS,
            ) from error

    def _make_room(self, own: int) -> bool:
        """Ends the oldest stream of the connection with the most streams, if it has more than `own`."""
        peer = max(self._open, key=lambda each: len(self._open[each]))
        if len(self._open[peer]) <= own:
            return False
        oldest = next(iter(self._open[peer]))
        self._remove(peer, oldest)
        oldest.reschedule(asyncio.get_running_loop().time())
        return True

    def _remove(self, peer: Hashable, stream: asyncio.Timeout) -> None:
        """Frees the place of a stream, unless another one has it already."""
        if stream in self._open[peer]:
            del self._open[peer][stream]
            self._count -= 1
        if not self._open[peer]:
            del self._open[peer]
