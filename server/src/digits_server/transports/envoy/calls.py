"""The calls under way: who is gone, who is late, who is left when the server stops."""

import asyncio
from collections import Counter
from collections.abc import Hashable

from digits_server.errors import DeadlineExceeded, ServingError, Unavailable
from digits_server.transports.envoy.reads import Reader, Reads, Receive
from digits_server.transports.limits import Limits

TICK_SECONDS = 0.02
"""Between two looks at all calls; most have come and gone between two."""

FIRST_LOOK_SECONDS = 0.02
LAST_LOOK_SECONDS = 1.0
"""A caller is asked whether it is still there when its call is this old, then at twice the age each time, and from
some age on at this interval."""


MOST_LOOKS = 16
"""Callers asked between two ticks, at most, the oldest calls first. A question goes the way of a call's message; asked
of all who wait, it would slow down a server that is behind already, so that it never caught up."""


class Call:
    """One call. Once `cut` from here, `ended` is what its caller is told, None when nobody is there to tell."""

    __slots__ = (
        *("_headers", "_looking", "_next_look", "_pause", "_task"),
        *("cut", "deadline", "ended", "held", "peer", "reader", "reading", "unfinished"),
    )

    def __init__(
        self, reader: Reader, deadline: float | None, now: float, peer: Hashable, headers: dict[bytes, bytes]
    ) -> None:
        self.reader = reader
        self.deadline = deadline
        self.peer = peer
        self._headers = headers
        self.reading = True
        """Whether the handler itself awaits what the caller sends, and so hears when it leaves."""
        self.unfinished = False
        """Whether its only message has not come yet."""
        self.held = 0
        """Bytes of a message that is not whole yet."""
        self.cut = False
        self.ended: ServingError | None = None
        self._task = asyncio.current_task()
        self._pause = FIRST_LOOK_SECONDS
        self._next_look = now + FIRST_LOOK_SECONDS
        self._looking: asyncio.Task[None] | None = None

    def metadata(self, name: str) -> str | None:
        value = self._headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def late(self) -> bool:
        """Whether its message is missing, and that not because Envoy has not come to it."""
        return self.unfinished and self.reader.in_vain

    def end(self, error: ServingError | None) -> None:
        """Cancels the handler."""
        if not self.cut and self._task:
            self.cut = True
            self.ended = error
            self._task.cancel()

    def look(self, now: float, *, may_ask: bool) -> bool:
        """Ends the call when its time is over; now and then, if it may, asks whether the caller is still there.

        Returns whether it asked.
        Envoy's module says so only to who reads. After the body it answers a read at once: with nothing, over and over,
        as long as the caller is there.
        """
        if self.deadline is not None and now >= self.deadline:
            self.end(DeadlineExceeded("the deadline passed before the answer was ready"))
        elif (
            may_ask and now >= self._next_look and not self.reading and (self._looking is None or self._looking.done())
        ):
            self._pause = min(2 * self._pause, LAST_LOOK_SECONDS)
            self._next_look = now + self._pause
            self._looking = asyncio.create_task(self._look())
            return True
        return False

    async def _look(self) -> None:
        event = await self.reader.next()
        if event["type"] == "http.disconnect":
            self.end(None)


class Calls:
    """All of them. Lives on the event loop; one timer looks after them together, so that none needs its own."""

    def __init__(self, limits: Limits) -> None:
        self._calls: dict[Call, None] = {}
        self._most_unfinished = limits.unfinished_calls
        self._most_held = limits.unfinished_bytes
        self._held = 0
        self._reads = Reads()
        self._ticking = False
        self._loop = asyncio.get_running_loop()
        self.arrived = 0
        """Calls that have come so far."""

    def __len__(self) -> int:
        return len(self._calls)

    def enter(self, receive: Receive, seconds: float | None, peer: Hashable, headers: dict[bytes, bytes]) -> Call:
        """A new call, handled by the current task, with `seconds` left if it has a deadline."""
        now = self._loop.time()
        call = Call(Reader(self._reads, receive), None if seconds is None else now + seconds, now, peer, headers)
        self._calls[call] = None
        self.arrived += 1
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_SECONDS, self._tick)
        return call

    def leave(self, call: Call) -> None:
        del self._calls[call]
        self._held -= call.held

    def holds(self, call: Call, size: int) -> None:
        """`call` keeps `size` bytes of a message that is not whole. Of too much the oldest such calls are given up."""
        self._held += size - call.held
        call.held = size
        for other in list(self._calls) if self._held > self._most_held else ():
            if other.held:
                self._give_up(other)
            if self._held <= self._most_held:
                return

    def end_all(self) -> None:
        for call in list(self._calls):
            call.end(Unavailable("the server has stopped"))

    def _tick(self) -> None:
        self._ticking = bool(self._calls)
        if self._ticking:
            self._loop.call_later(TICK_SECONDS, self._tick)
            self._reads.tick()
            now = self._loop.time()
            calls = list(self._calls)
            asked = 0
            for call in calls:
                asked += call.look(now, may_ask=asked < MOST_LOOKS)
            if len(calls) > self._most_unfinished:
                late = [call for call in calls if call.late and not call.cut]
                for call in _greediest_first(late)[: max(0, len(late) - self._most_unfinished)]:
                    self._give_up(call)

    def _give_up(self, call: Call) -> None:
        self._held -= call.held
        call.held = 0
        call.end(Unavailable("the message took too long to arrive: others wait"))


def _greediest_first(calls: list[Call]) -> list[Call]:
    """In an order to give them up in: those with the most newer ones of the same connection, then the oldest.

    So a connection with few of them keeps them.
    """
    newer = Counter[Hashable]()
    rank = {}
    for call in reversed(calls):
        rank[call] = newer[call.peer]
        newer[call.peer] += 1
    return sorted(calls, key=rank.__getitem__, reverse=True)
