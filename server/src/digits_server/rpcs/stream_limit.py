"""The limits of open streams: of one RPC, and on one connection."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from digits_server.errors import Overloaded

RETRY_AFTER_MS = 1000
"""Milliseconds after which a rejected caller may try again. Streams last long."""

SILENT_SECONDS = 10.0
"""A stream that has waited so long for its caller's next request gives way, if streams may give way for that."""


class OpenStream:
    """The state of one stream, for its limit. Make it on the event loop."""

    __slots__ = ("requests", "since", "timeout")

    def __init__(self) -> None:
        self.requests = 0
        """Requests that have arrived and have no reply yet."""
        self.since = asyncio.get_running_loop().time()
        """When it began or sent its last reply: event-loop time, seconds."""
        self.timeout = asyncio.timeout(None)

    def replied(self) -> None:
        self.requests -= 1
        self.since = asyncio.get_running_loop().time()


class StreamLimit:
    """At most `most` streams at once, of which `most_each` are on one connection. Lives on the event loop.

    name       the setting that holds `most`, for error messages
    crowded    whether a connection with fewer streams gets a place if all are taken: the oldest stream of the
               connection with the most streams is then ended
    silent     whether a new stream gets a place if all are taken: the one that has waited longest for its caller, for
               SILENT_SECONDS at least, is then ended
    """

    def __init__(
        self, most: int, most_each: int, name: str = "max_streams", *, crowded: bool = False, silent: bool = False
    ) -> None:
        self._most = most
        self._most_each = most_each
        self._name = name
        self._crowded = crowded
        self._silent = silent
        self._open: defaultdict[Hashable, dict[OpenStream, None]] = defaultdict(dict)
        """By connection, its streams in the order in which they began."""
        self._count = 0

    @asynccontextmanager
    async def place(self, stream: OpenStream, peer: Hashable) -> AsyncIterator[None]:
        """Holds a place for one more stream of the connection `peer`.

        Raises Overloaded if no place is free, and when the stream is ended to make room for another one.
        """
        own = len(self._open[peer]) if peer in self._open else 0
        if own >= self._most_each:
            raise Overloaded(
                f"{own} streams are open on this connection; at most {self._most_each} may be "
                "(max_connection_streams, or half of what max_unfinished_bytes allows)",
                RETRY_AFTER_MS,
            )
        if self._count >= self._most and not self._make_room(own):
            raise Overloaded(
                f"{self._count} streams are open; at most {self._most} may be ({self._name})", RETRY_AFTER_MS
            )
        try:
            async with stream.timeout:
                self._open[peer][stream] = None
                self._count += 1
                try:
                    yield
                finally:
                    self._remove(peer, stream)
        except TimeoutError as error:
            if not stream.timeout.expired():
                raise
            why = (
                "it had waited longest for its next request" if self._silent else "its connection had the most of them"
            )
            raise Overloaded(
                f"ended to make room for another one: all {self._most} streams ({self._name}) were open, and {why}",
                RETRY_AFTER_MS,
            ) from error

    def _make_room(self, own: int) -> bool:
        """Ends a stream for one of a connection that has `own` streams, if one must give way."""
        if self._crowded:
            return self._end_one_of_the_most(own)
        return self._silent and self._end_the_most_silent()

    def _end_one_of_the_most(self, own: int) -> bool:
        peer = max(self._open, key=lambda each: len(self._open[each]))
        if len(self._open[peer]) <= own:
            return False
        self._end(peer, next(iter(self._open[peer])))
        return True

    def _end_the_most_silent(self) -> bool:
        waiting = [(peer, each) for peer, streams in self._open.items() for each in streams if not each.requests]
        peer, stream = min(waiting, key=lambda each: each[1].since, default=(None, None))
        if stream is None or stream.since > asyncio.get_running_loop().time() - SILENT_SECONDS:
            return False
        self._end(peer, stream)
        return True

    def _end(self, peer: Hashable, stream: OpenStream) -> None:
        self._remove(peer, stream)
        stream.timeout.reschedule(asyncio.get_running_loop().time())

    def _remove(self, peer: Hashable, stream: OpenStream) -> None:
        """Frees the place of a stream, unless another one has it already."""
        if stream in self._open[peer]:
            del self._open[peer][stream]
            self._count -= 1
        if not self._open[peer]:
            del self._open[peer]
