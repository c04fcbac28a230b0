"""What callers send, and whose message is late: who has asked Envoy for it in vain.

Envoy answers what it is asked in order, as far as there is something to read. So who is still without an answer when
somebody who asked later has one is waiting for the caller; of the others it is not known yet, however long a busy
machine takes to come to them.
"""

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]

SILENT_TICKS = 5
"""After so many ticks in which nobody had an answer, everybody who has asked before them waits for his caller."""


class Reads:
    """Numbers the questions of all calls, in the order in which they are asked."""

    def __init__(self) -> None:
        self._asked = 0
        self._answered = 0
        self._silent = 0
        self._asked_before = 0

    def ask(self) -> int:
        """The number of one more question."""
        self._asked += 1
        return self._asked

    def answer(self, number: int) -> None:
        self._answered = max(self._answered, number)
        self._silent = 0

    def tick(self) -> None:
        """To be called at regular intervals."""
        if not self._silent:
            self._asked_before = self._asked
        self._silent += 1

    def had_its_turn(self, number: int) -> bool:
        """Whether the question of this number would have its answer, were there one."""
        return number < self._answered or (self._silent > SILENT_TICKS and number <= self._asked_before)


class Reader:
    """Reads what the caller of one call sends."""

    __slots__ = ("_asked", "_reads", "_receive")

    def __init__(self, reads: Reads, receive: Receive) -> None:
        self._reads = reads
        self._receive = receive
        self._asked = 0

    async def next(self) -> dict[str, Any]:
        """What comes next, as ASGI has it."""
        self._asked = self._reads.ask()
        event = await self._receive()
        if event["type"] == "http.request":  # that somebody has left may be heard before any answer
            self._reads.answer(self._asked)
        return event

    @property
    def in_vain(self) -> bool:
        """Whether it waits for the caller, if it waits."""
        return self._reads.had_its_turn(self._asked)
