"""Concurrent calls → one RPC: decides which calls are sent when.

No threads, no I/O, no clock: the shells pass the time.

If no RPC of a call's kind is in flight, the call is sent at once. Otherwise calls of this kind gather. They are sent
together when one of these RPCs returns, when they fill an RPC, or when every RPC of the kind has taken much longer than
recent RPCs: its server may be frozen, and another server healthy. A kind is the set of options that apply to a whole
RPC: the model version, and whether probabilities and scores of unlike are wanted.
"""

from collections import Counter
from collections.abc import Iterator

from digits_client import _limits
from digits_client._coalescing.calls import Call, Group, Kind
from digits_client._coalescing.rules import Coalescing
from digits_client._coalescing.stats import Stats
from digits_client._errors import QueueFull


class Coalescer:
    """Tracks which calls wait, which are in flight, and which are sent next.

    Not thread-safe: a shell holds its lock.
    """

    def __init__(self, rules: Coalescing) -> None:
        self._rules = rules
        self._waiting: dict[Kind, dict[Call, None]] = {}  # kinds in the order of their turns; calls in theirs
        self._waiting_images = 0
        self._groups: set[Group] = set()
        self._in_flight: dict[Kind, int] = {}
        self._usual = _limits.USUAL_RPC_SECONDS
        self._sent = self._images = self._largest = self._answered = self._failed = self._refused = 0

    def stats(self) -> Stats:
        """The counts so far, and what is in flight and waits now."""
        return Stats(
            rpcs_sent=self._sent,
            images_sent=self._images,
            largest_rpc=self._largest,
            rpcs_answered=self._answered,
            rpcs_failed=self._failed,
            calls_refused=self._refused,
            rpcs_in_flight=len(self._groups),
            images_in_flight=sum(len(group.calls) for group in self._groups),
            images_waiting=self._waiting_images,
            usual_rpc_seconds=self._usual,
        )

    @property
    def patience(self) -> float:
        """Seconds for which calls wait behind an RPC before they are sent without it."""
        usual = _limits.PATIENCE * self._usual
        return min(max(_limits.LEAST_PATIENCE_SECONDS, usual), _limits.MOST_PATIENCE_SECONDS)

    @property
    def waiting(self) -> int:
        """Images that wait to leave."""
        return self._waiting_images

    def join(self, call: Call, now: float = 0.0) -> Group | None:
        """The group to send now; None: the call waits, and is sent with a later group.

        Raises QueueFull if too many calls wait; then it has not joined.
        """
        kind = call.kind
        if kind not in self._in_flight and kind not in self._waiting and self._may_leave():
            return self._leaving(kind, [call], now)
        most = self._rules.max_waiting
        if most is not None and self._waiting_images >= most:
            self._refused += 1
            raise QueueFull(
                f"{most:,} images already wait in this client: make fewer calls at once, or raise max_waiting"
            )
        calls = self._waiting.setdefault(kind, {})
        calls[call] = None
        self._waiting_images += 1
        return self._next(kind, now) if len(calls) >= self._rules.images_per_rpc and self._may_leave() else None

    def returned(self, group: Group, now: float = 0.0, *, answered: bool = False) -> list[Group]:
        """Its RPC has ended. Returns the groups to send now.

        The durations of answered RPCs update the running average.
        """
        kind = group.kind
        group.ended = True
        if group in self._groups:
            self._groups.remove(group)
            self._in_flight[kind] -= 1
            if not self._in_flight[kind]:
                del self._in_flight[kind]
            if answered:
                self._answered += 1
                self._usual += _limits.USUAL_RPC_WEIGHT * (now - group.left - self._usual)
            else:
                self._failed += 1
        leaving: list[Group] = []
        while self._may_leave() and (turn := self._turn(kind)) is not None:
            leaving.append(self._next(turn, now))
        return leaving

    def overdue(self, now: float) -> list[Group]:
        """The groups to send because all RPCs of their kind have been in flight for too long."""
        leaving: list[Group] = []
        for kind in list(self._waiting):
            latest = max((group.left for group in self._groups if group.kind == kind), default=now)
            if self._may_leave() and now - latest >= self.patience:
                leaving.append(self._next(kind, now))
        return leaving

    def withdraw(self, call: Call) -> list[Group]:
        """Undoes a join that was interrupted at any point. Returns the groups that no shell has passed to gRPC yet.

        Repairs what an interruption (Ctrl-C) may have left half done: everything is counted again.
        """
        self.abandon(call)
        if call.group and call.group.ended:
            self._groups.discard(call.group)
        elif call.group:
            self._groups.add(call.group)
        for kind, calls in list(self._waiting.items()):
            self._waiting[kind] = {each: None for each in calls if each is not call and each.group is None}
            if not self._waiting[kind]:
                del self._waiting[kind]
        self._waiting_images = sum(map(len, self._waiting.values()))
        self._in_flight = dict(Counter(group.kind for group in self._groups))
        return [group for group in self._groups if not group.sent]

    def abandon(self, call: Call) -> Group | None:
        """The caller no longer waits. Returns its group if no other caller waits for it: its RPC may be cancelled."""
        if call.abandoned:
            return None
        call.abandoned = True
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
        """Every call that waits or is in flight."""
        for calls in self._waiting.values():
            yield from calls
        for group in self._groups:
            yield from group.calls

    def standing(self, call: Call, now: float) -> TimeoutError:
        """Where a call was waiting when its timeout passed: the cause of its error."""
        if call.group:
            count, seconds = len(call.group.calls), now - call.group.left
            return TimeoutError(f"its RPC of {count} images was sent {seconds:.3g} seconds before and is not answered")
        return TimeoutError(f"it waited in the client: {len(self._groups)} RPCs are in flight")

    def clear(self) -> list[Call]:
        """Forgets everything. Returns the calls that were waiting or in flight."""
        calls = list(self.unfinished())
        self._waiting.clear()
        self._waiting_images = 0
        self._groups.clear()
        self._in_flight.clear()
        return calls

    def _may_leave(self) -> bool:
        return len(self._groups) < self._rules.rpcs_in_flight

    def _turn(self, returned: Kind) -> Kind | None:
        """The kind that has waited longest for its turn, among those that may be sent now."""
        for kind, calls in self._waiting.items():
            if kind == returned or kind not in self._in_flight or len(calls) >= self._rules.images_per_rpc:
                return kind
        return None

    def _next(self, kind: Kind, now: float) -> Group:
        """The calls of a kind that have waited longest; the rest goes to the end of the queue of kinds."""
        calls = self._waiting.pop(kind)
        most = self._rules.images_per_rpc
        chosen = list(calls)
        if len(chosen) > most:
            chosen, left = chosen[:most], chosen[most:]
            self._waiting[kind] = dict.fromkeys(left)
        self._waiting_images -= len(chosen)
        return self._leaving(kind, chosen, now)

    def _leaving(self, kind: Kind, calls: list[Call], now: float) -> Group:
        group = Group(kind, calls, len(calls), now)
        for call in calls:
            call.group = group
        self._groups.add(group)
        self._in_flight[kind] = self._in_flight.get(kind, 0) + 1
        self._sent += 1
        self._images += len(calls)
        self._largest = max(self._largest, len(calls))
        return group
