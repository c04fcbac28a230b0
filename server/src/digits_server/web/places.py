"""The limit of HTTP connections, from the moment they are accepted, and which one is closed in favour of another."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from digits_server.settings import RESERVED_CONNECTIONS
from digits_server.web.errors import Crowded

UNDISTURBED_SECONDS = 1.0
"""While reserved places are free, only connections that kept the server waiting for so long are closed for others."""

PATIENCE_SECONDS = 0.2
"""A connection that kept the server waiting for less is never closed in favour of a request: it may be about to send
the rest of its body."""

LOG_SECONDS = 10.0
"""Seconds between two log lines about how many connections were closed, and why."""

RETRY_AFTER_MS = 1_000
"""Milliseconds after which a rejected caller may try again."""

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A connection on which the server waits for its caller.

    kept   whether it had an answer before and is idle now; such connections are closed last
    since  event-loop time, seconds
    """

    kept: bool
    since: float


class Guest(Protocol):
    """A connection that has a place."""

    def waiting(self) -> Waiting | None:
        """Since when the server waits for its caller; None while the server works on its request."""
        ...

    def push_out(self) -> None:
        """Closes it at once, so that its file descriptor is free."""
        ...


class Places:
    """The places of one server. Lives on the event loop.

    limit   connections at once, without the RESERVED_CONNECTIONS
    closed  counts a connection that is closed by the server, by reason: limit, pushed_out, late, tls
    """

    def __init__(self, limit: int, closed: Callable[[str], None]) -> None:
        self._limit = limit
        self._count = closed
        self._guests: set[Guest] = set()
        self._requests = 0
        self._unlogged: Counter[str] = Counter()
        self._details: Mapping[str, str] | None = None
        """Fields of the next log line: the peer of the last failed handshake, and the error."""
        self._log_timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest) -> bool:
        """Gives a new connection a place, if necessary that of another one. False: no place is free; close it."""
        if len(self._guests) >= self._limit + RESERVED_CONNECTIONS:
            entered = self._make_room(0.0)
        else:
            entered = True
            if len(self._guests) >= self._limit:
                self._make_room(UNDISTURBED_SECONDS)
        if entered:
            self._guests.add(guest)
        else:
            self.closed("limit")
        return entered

    def leave(self, guest: Guest) -> None:
        """Frees the place of a connection that has ended, if it still has one."""
        self._guests.discard(guest)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A context manager for answering a request that is not a probe. Raises Crowded if all places are busy."""
        if self._requests >= self._limit and not self._make_room(PATIENCE_SECONDS):
            raise Crowded(
                f"{self._requests} requests are being answered; at most {self._limit} may (max_connections)",
                RETRY_AFTER_MS,
            )
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    def closed(self, reason: str, details: Mapping[str, str] | None = None) -> None:
        """Counts a connection that the server has closed, and logs the counts and the last `details` now and then."""
        self._count(reason)
        self._details = details or self._details
        self._unlogged[reason] += 1
        if self._log_timer is None:
            self._log()

    def _make_room(self, least_seconds: float) -> bool:
        """Closes the connection that has kept the server waiting longest, if that is at least `least_seconds`."""
        before = asyncio.get_running_loop().time() - least_seconds
        waiting = [
            (found, guest) for guest in self._guests if (found := guest.waiting()) is not None and found.since <= before
        ]
        if not waiting:
            return False
        _, guest = min(waiting, key=lambda each: each[0])
        self._guests.discard(guest)
        guest.push_out()
        self.closed("pushed_out")
        return True

    def _log(self) -> None:
        self._log_timer = None
        if self._unlogged:
            counts = ", ".join(f"{reason} {count}" for reason, count in sorted(self._unlogged.items()))
            said = "closed HTTP connections (%s): see digits_http_connections_closed_total"
            log.warning(said, counts, extra=self._details)
            self._unlogged.clear()
            self._details = None
            self._log_timer = asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)
