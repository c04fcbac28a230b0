"""Which connections are closed when the calls that are in vain take the time to answer any.

To refuse a small call costs a good part of what it costs to answer it, and so does one whose caller has given it up.
Callers who offer more than can be answered hold back what their connection has no room for, the oldest first: each call
then leaves when its deadline has nearly passed, and from some load on all of them are in vain. Only calls that are not
sent cost nothing. So the connections that send most are closed until the others can be answered, and new ones are
turned away meanwhile: callers fail at once then, for a second or more, or go to another server.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

TICK_SECONDS = 0.1
"""Between two looks at the load."""

IN_VAIN_SHARE, LEAST_IN_VAIN = 0.3, 200
"""Calls of a tick that were not answered, of all and at all, beyond which the server is behind: fewer cost little."""

LOST_SHARE = 0.5
"""Of what can be answered: with less it is behind too, though its callers give up before anybody knows of them."""

LEAST_CALLS, QUIET_TICKS = 50, 5
"""In a tick; with fewer for so long it has nothing to do."""

NOBODY_TICKS = 30
"""Without a new connection, after which nobody is believed to wait for one: callers ask again within seconds."""

BEHIND_TICKS = 3
"""In a row, before a connection is closed: a machine that stalls for a moment is no overload."""

MOST_CLOSED = 0.75
"""Of the connections, at once: what can be answered is known once most calls are."""

KEPT_LOAD = 1.1
"""What the connections that stay may send, of what can be answered; a little too much is what refusals are for."""

MOST_KEPT = 0.99
"""Of the connections, at once, where calls come too late to be answered, few as they are, or where it was not enough to
keep what can be answered: then one goes, however much that is."""

SPARE_LOAD = 0.8
"""Of what can be answered, below which there is room for one connection more."""

PATIENCE_TICKS, MOST_PATIENCE_TICKS = 3, 12
"""How long there has to be room before one more is let in: twice as long each time it was one too many."""

CALM_TICKS = 30
"""Without a refusal, after which one more is let in all the same: the most ever answered need not be what can be."""

CAPACITY_KEPT = 0.998
"""What is left after a tick of the most calls ever answered in one: the machine may have become slower."""

LEAST_SENT = 1 / 32
"""Of what all connections send, below which one does not count."""

CALL_BYTES = 200
"""Of a call besides its message, at most, as its headers are compressed."""


class Useful:
    """What was of use of all that came to Python: calls answered, and the bytes of them by connection.

    by_connection  whether anybody looks at those, and clears them
    """

    def __init__(self, *, by_connection: bool = True) -> None:
        self._by_connection = by_connection
        self.arrived = 0
        self.calls = 0
        self.bytes = Counter[Hashable]()

    def answered(self, peer: Hashable, size: int) -> None:
        """One call, whose message has `size` bytes."""
        self.calls += 1
        self.took(peer, size)

    def took(self, peer: Hashable, size: int) -> None:
        """One message of `size` bytes of a stream."""
        if self._by_connection:
            self.bytes[peer] += CALL_BYTES + size


@dataclass(frozen=True)
class Load:
    """Of a tick.

    calls        that came to Envoy
    refused      of them by Envoy
    arrived      of them in Python; the others were given up first
    answered     of these
    connections  that were made
    """

    calls: int = 0
    refused: int = 0
    arrived: int = 0
    answered: int = 0
    connections: int = 0

    @property
    def late(self) -> int:
        """Calls that Python had and could not answer, for the most part because their callers had held them back."""
        return self.arrived - self.answered

    @property
    def in_vain(self) -> int:
        """Calls that somebody waited for."""
        return self.refused + self.late


class Shedding:
    """Decides at each tick whether connections are closed; `turning_away` is whether new ones are turned away."""

    def __init__(self) -> None:
        self.turning_away = False
        self.behind = 0
        """Ticks in a row in which too much was in vain."""
        self._capacity = 0.0
        self._besieged = False
        self._quiet = 0
        self._room = 0
        self._calm = 0
        self._patience = PATIENCE_TICKS

    def tick(self, load: Load) -> float:
        """Returns the share of the connections that can stay: 1, unless some have to be closed now."""
        self._capacity = max(load.answered, self._capacity * CAPACITY_KEPT)
        if self._is_behind(load):
            return self._fall_behind(load)
        self.behind = 0
        self._quiet = self._quiet + 1 if load.calls < LEAST_CALLS else 0
        if self._quiet >= QUIET_TICKS:
            self._be_normal()
        elif self.turning_away:
            self._room = self._room + 1 if load.calls < SPARE_LOAD * self._capacity else 0
            self._calm = 0 if load.refused else self._calm + 1
            if self._room >= self._patience or self._calm >= CALM_TICKS:
                self.turning_away, self._room, self._calm = False, 0, 0
        elif self._besieged:
            self._let_in(load)
        return 1

    def _is_behind(self, load: Load) -> bool:
        waited_for = load.in_vain + load.answered
        at_a_loss = load.calls > self._capacity > LEAST_IN_VAIN and load.answered < LOST_SHARE * self._capacity
        return at_a_loss or load.in_vain > max(LEAST_IN_VAIN, IN_VAIN_SHARE * waited_for)

    def _fall_behind(self, load: Load) -> float:
        self._room = self._calm = 0
        self.behind += 1
        if self.behind % BEHIND_TICKS:
            return 1
        if self._besieged and not self.turning_away:
            self._patience = min(2 * self._patience, MOST_PATIENCE_TICKS)
        self._besieged = self.turning_away = True
        share = KEPT_LOAD * self._capacity / max(1, load.calls)
        is_enough = self.behind == BEHIND_TICKS and load.late < load.refused
        return share if is_enough else min(share, MOST_KEPT)

    def _let_in(self, load: Load) -> None:
        """One connection after another, until nobody comes."""
        self._room += 1
        if load.connections:
            self.turning_away, self._room = True, 0
        elif self._room > NOBODY_TICKS:
            self._be_normal()

    def _be_normal(self) -> None:
        self._besieged = self.turning_away = False
        self._room, self._patience = 0, PATIENCE_TICKS


Peer = TypeVar("Peer", bound=Hashable)


def greediest(staying: float, received: Mapping[Peer, int], useful: Mapping[Peer, int]) -> list[Peer]:
    """Whom to close so that a share of the connections stays: who sent most in vain, at least one, and never all.

    received  bytes that came lately, by connection
    useful    bytes of the calls that were answered
    """
    in_vain = Counter({peer: max(0, sent - useful.get(peer, 0)) for peer, sent in received.items()})
    culprits = [
        peer
        for peer, sent in in_vain.most_common()
        if sent > max(LEAST_SENT * in_vain.total(), IN_VAIN_SHARE * received[peer])
    ]
    others = LEAST_SENT * sum(received.values())
    blamed = set(culprits)
    sending = sum(sent > others or peer in blamed for peer, sent in received.items())
    return culprits[: min(int(MOST_CLOSED * sending), max(1, sending - round(staying * sending)))]
