"""Concurrent calls → one RPC: what leaves when. No threads, no I/O, no clock.

A call of a kind that is not in flight leaves at once. While one is, calls of its kind gather, and leave together as
soon as one of them returns, or as soon as they fill an RPC. A kind is what an RPC can only ask for as a whole: the
model version, and whether probabilities are wanted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from digits_client import _limits
from digits_client._errors import QueueFull


@dataclass(frozen=True, kw_only=True, slots=True)
class Coalescing:
    """How `predict` calls that happen at the same time share RPCs.

    images_per_rpc  images that leave together, at most
    rpcs_in_flight  shared RPCs on the way at once, at most
    max_waiting     images that wait for an RPC to return; one more is refused with QueueFull. None: no bound, a call
                    waits for as long as its timeout lets it
    """

    images_per_rpc: int = _limits.COALESCED_IMAGES
    rpcs_in_flight: int = _limits.COALESCED_RPCS
    max_waiting: int | None = _limits.WAITING_IMAGES

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")


DEFAULT = Coalescing()


class Kind(NamedTuple):
    """What calls must have in common to share an RPC."""

    model_version: int
    probabilities: bool


class Call:
    """One caller's image, and how that caller is told. The shells wait on `waker`; nothing here touches it."""

    __slots__ = ("answer", "deadline", "error", "group", "kind", "pixels", "waker")

    def __init__(self, pixels: bytes, kind: Kind, deadline: float, waker: Any) -> None:
        self.pixels = pixels
        self.kind = kind
        self.deadline = deadline
        self.waker = waker
        self.group: Group | None = None
        self.answer: Any = None
        self.error: Exception | None = None


@dataclass(slots=True, eq=False)
class Group:
    """The calls of one RPC. `rpc` is what cancels it; `wanted` counts the callers who still wait for it."""

    kind: Kind
    calls: list[Call]
    wanted: int
    rpc: Any = field(default=None)

    @property
    def deadline(self) -> float:
        """The latest of its callers' deadlines: each of the others gives up by itself."""
        return max(call.deadline for call in self.calls)


class Coalescer:
    """Which calls wait, which are on the way, and which leave next. Not thread-safe: a shell holds its lock."""

    def __init__(self, rules: Coalescing) -> None:
        self._rules = rules
        self._waiting: dict[Kind, dict[Call, None]] = {}  # kinds in the order of their turns; calls in theirs
        self._waiting_images = 0
        self._groups: set[Group] = set()
        self._in_flight: dict[Kind, int] = {}

    def join(self, call: Call) -> Group | None:
        """The group that must leave now, or None: the call waits, or another's return will take it along.

        QueueFull when it would be one too many; it has not joined then.
        """
        kind = call.kind
        if kind not in self._in_flight and kind not in self._waiting and self._may_leave():
            return self._leaving(kind, [call])
        most = self._rules.max_waiting
        if most is not None and self._waiting_images >= most:
            raise QueueFull(f"{most:,} images already wait in this client: call less at once, or set max_waiting")
        calls = self._waiting.setdefault(kind, {})
        calls[call] = None
        self._waiting_images += 1
        return self._next(kind) if len(calls) >= self._rules.images_per_rpc and self._may_leave() else None

    def returned(self, group: Group) -> list[Group]:
        """Its RPC has ended, whichever way. The groups that must leave now."""
        kind = group.kind
        if group in self._groups:
            self._groups.remove(group)
            self._in_flight[kind] -= 1
            if not self._in_flight[kind]:
                del self._in_flight[kind]
        leaving: list[Group] = []
        while self._may_leave() and (turn := self._turn(kind)) is not None:
            leaving.append(self._next(turn))
        return leaving

    def abandon(self, call: Call) -> Group | None:
        """The caller no longer waits. Its group, if nobody waits for that any more: its RPC may be cancelled."""
        if call.group:
            call.group.wanted -= 1
            return call.group if call.group.wanted == 0 and call.group in self._groups else None
        calls = self._waiting.get(call.kind, {})
        if call in calls:
            del calls[call]
            self._waiting_images -= 1
            if not calls:
                del self._waiting[call.kind]
        return None

    def unfinished(self) -> Iterator[Call]:
        """Every call that waits or is on the way."""
        for calls in self._waiting.values():
            yield from calls
        for group in self._groups:
            yield from group.calls

    def clear(self) -> list[Call]:
        """Forgets everything: the calls that were waiting or on the way."""
        calls = list(self.unfinished())
        self._waiting.clear()
        self._waiting_images = 0
        self._groups.clear()
        self._in_flight.clear()
        return calls

    def _may_leave(self) -> bool:
        return len(self._groups) < self._rules.rpcs_in_flight

    def _turn(self, returned: Kind) -> Kind | None:
        """The kind that has waited for its turn the longest, among those that need wait no longer."""
        for kind, calls in self._waiting.items():
            if kind == returned or kind not in self._in_flight or len(calls) >= self._rules.images_per_rpc:
                return kind
        return None

    def _next(self, kind: Kind) -> Group:
        """The longest waiting of a kind; what is left of it goes to the end of the line of kinds."""
        calls = self._waiting.pop(kind)
        most = self._rules.images_per_rpc
        chosen = list(calls)
        if len(chosen) > most:
            chosen, left = chosen[:most], chosen[most:]
            self._waiting[kind] = dict.fromkeys(left)
        self._waiting_images -= len(chosen)
        return self._leaving(kind, chosen)

    def _leaving(self, kind: Kind, calls: list[Call]) -> Group:
        group = Group(kind, calls, len(calls))
        for call in calls:
            call.group = group
        self._groups.add(group)
        self._in_flight[kind] = self._in_flight.get(kind, 0) + 1
        return group
