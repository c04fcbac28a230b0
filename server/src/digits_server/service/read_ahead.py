"""How far streams may read ahead of their answers: back pressure, in requests and in bytes."""

from collections import Counter, deque
from collections.abc import Hashable

from digits_server.batching.waiters import Waiters
from digits_server.errors import Overloaded

RETRY_AFTER_MS = 1000
"""Milliseconds after which a rejected stream may be opened again."""


class ReadAhead:
    """Requests that all streams have read and not answered yet. Lives on the event loop.

    requests   most requests of one stream
    own_bytes  most bytes of one stream: at this amount it reads no further. The last request may be as large again.
    all_bytes  most bytes of all streams. A stream reads ahead while half of it is free, and reads while its connection
               has nothing or less than a quarter. Beyond all of it, or three quarters for one connection, a request is
               rejected.
    """

    def __init__(self, requests: int, own_bytes: int, all_bytes: int) -> None:
        self.requests = requests
        self.own_bytes = own_bytes
        self.all_bytes = all_bytes
        self.held = 0
        self.by_peer: Counter[Hashable] = Counter()
        self.freed = Waiters()

    def of(self, peer: Hashable) -> "Window":
        """The window of one stream of the connection `peer`."""
        return Window(self, peer)


class Window:
    """Requests that one stream has read and not answered yet."""

    def __init__(self, ahead: ReadAhead, peer: Hashable) -> None:
        self._ahead = ahead
        self._peer = peer
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._expected = 0  # bytes held for the request that is being read, as many as the last one had

    async def open(self) -> None:
        """Returns when the stream may read its next request."""
        await self._ahead.freed.until(self._may_read)
        self._expected = self._sizes[-1] if self._sizes else 0
        self._add(self._expected)

    def took(self, size: int) -> None:
        """The stream has read a request of `size` bytes. Raises Overloaded if there is no place for it."""
        self._forget_expected()
        ahead = self._ahead
        own = ahead.by_peer[self._peer]
        if ahead.held and (ahead.held + size > ahead.all_bytes or (own and own + size > ahead.all_bytes * 3 // 4)):
            raise Overloaded(
                f"streams have read {ahead.held} bytes that wait for their answers, {own} of them on this connection; "
                f"at most {ahead.all_bytes} may (max_stream_bytes), and three quarters of it on one connection",
                RETRY_AFTER_MS,
            )
        self._sizes.append(size)
        self._add(size)

    def answered(self) -> None:
        """The oldest request of the stream has been answered."""
        self._add(-self._sizes.popleft())
        if not self._sizes:  # its next request may come at any time, or never
            self._forget_expected()

    def close(self) -> None:
        """The stream has ended."""
        self._sizes.clear()
        self._expected = 0
        self._add(-self._bytes)

    def _may_read(self) -> bool:
        ahead = self._ahead
        own = ahead.by_peer[self._peer]
        if own and own >= ahead.all_bytes // 4:
            return False
        within = self._bytes < ahead.own_bytes and ahead.held < ahead.all_bytes // 2
        return not self._sizes or (within and len(self._sizes) < ahead.requests)

    def _forget_expected(self) -> None:
        self._add(-self._expected)
        self._expected = 0

    def _add(self, size: int) -> None:
        ahead = self._ahead
        self._bytes += size
        ahead.held += size
        ahead.by_peer[self._peer] += size
        if not ahead.by_peer[self._peer]:
            del ahead.by_peer[self._peer]
        if size <= 0:
            ahead.freed.tell()
