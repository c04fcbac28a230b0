"""Bounds for all connections together, and for one of them: waiting image files, bytes of requests."""

from collections import Counter
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager

from digits_server.batching.waiters import Waiters
from digits_server.errors import Overloaded

RETRY_AFTER_MS = 100
"""Milliseconds after which a rejected caller may try again."""


class Allowance:
    """Several bounds at once. Each has a name, such as "image files (max_waiting_files)", and an amount.

    A connection that already holds some may take more only if it then holds at most as much as it leaves free.
    Lives on the event loop.
    """

    def __init__(self, bounds: Mapping[str, int]) -> None:
        self._bounds = bounds
        self._held: Counter[str] = Counter()
        self._by_peer: Counter[tuple[Hashable, str]] = Counter()
        self._freed = Waiters()

    def held(self, what: str) -> int:
        """How much of the bound `what` is held now."""
        return self._held[what]

    @asynccontextmanager
    async def hold(
        self, amounts: Mapping[str, int], peer: Hashable, *, deadline: float | None = None, patient: bool = False
    ) -> AsyncIterator[None]:
        """Holds `amounts` for the connection `peer`.

        patient   waits until enough is free, but not beyond the deadline (a time of the event loop's clock, in seconds)

        Raises Overloaded if not enough is free, or DeadlineExceeded.
        """
        if (short := self._short(amounts, peer)) and not patient:
            raise Overloaded(
                f"{self._held[short]} {short} wait, {self._by_peer[peer, short]} of them from this connection; at most "
                f"{self._bounds[short]} may, and one connection must leave as much free as it holds",
                RETRY_AFTER_MS,
            )
        await self._freed.until(
            lambda: not self._short(amounts, peer), deadline, f"too many {short} waited until the deadline"
        )
        self._add(amounts, peer, 1)
        try:
            yield
        finally:
            self._add(amounts, peer, -1)
            self._freed.tell()

    def _short(self, amounts: Mapping[str, int], peer: Hashable) -> str | None:
        """The name of the bound that `peer` would exceed; None if it fits. A request that is alone always fits."""
        for what, amount in amounts.items():
            own, free = self._by_peer[peer, what], self._bounds[what] - self._held[what] - amount
            if (own + amount > free) if own else (free < 0 and self._held[what] > 0):
                return what
        return None

    def _add(self, amounts: Mapping[str, int], peer: Hashable, sign: int) -> None:
        for what, amount in amounts.items():
            self._held[what] += sign * amount
            self._by_peer[peer, what] += sign * amount
            if not self._by_peer[peer, what]:
                del self._by_peer[peer, what]
