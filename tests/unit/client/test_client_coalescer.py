"""Which calls are sent when, without threads, sockets or clocks: every order of events of callers and servers."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from digits_client import Coalescing, QueueFull
from digits_client._coalescing.calls import Call, Group, Kind
from digits_client._coalescing.core import Coalescer

KINDS = [Kind(0, probabilities=False), Kind(0, probabilities=True), Kind(7, probabilities=False)]


def call(kind: Kind = KINDS[0]) -> Call:
    return Call(b"", kind, 0.0, None)


class Callers(RuleBasedStateMachine):
    """Joins, returns and abandonments in any order, against the rules as docs/client.md gives them."""

    calls = Bundle("calls")
    groups = Bundle("groups")

    @initialize(images=st.integers(1, 5), rpcs=st.integers(1, 3), waiting=st.one_of(st.none(), st.integers(1, 12)))
    def begin(self, images: int, rpcs: int, waiting: int | None) -> None:
        self.bounds = Coalescing(images_per_rpc=images, rpcs_in_flight=rpcs, max_waiting=waiting)
        self.core = Coalescer(self.bounds)
        self.waiting: list[Call] = []
        self.in_flight: list[Group] = []
        self.left: list[Call] = []

    def leaves(self, group: Group) -> None:
        assert 1 <= len(group.calls) <= self.bounds.images_per_rpc
        assert {one.kind for one in group.calls} == {group.kind}
        assert [one for one in self.waiting if one.kind == group.kind][: len(group.calls)] == group.calls
        self.waiting = [one for one in self.waiting if one not in group.calls]
        self.in_flight.append(group)
        assert not set(group.calls) & set(self.left)
        self.left += group.calls

    @rule(target=groups, kind=st.sampled_from(KINDS))
    def joins(self, kind: Kind) -> Group | object:
        alone = not any(group.kind == kind for group in self.in_flight)
        room = len(self.in_flight) < self.bounds.rpcs_in_flight
        first = not any(one.kind == kind for one in self.waiting)
        new = call(kind)
        at_once = alone and room and first
        if not at_once and len(self.waiting) == self.bounds.max_waiting:
            with pytest.raises(QueueFull):
                self.core.join(new)
            return multiple()
        self.waiting.append(new)
        group = self.core.join(new)
        of_kind = sum(one.kind == kind for one in self.waiting)
        assert (group is not None) == (at_once or (room and of_kind >= self.bounds.images_per_rpc))
        if group is None:
            return multiple()
        self.leaves(group)
        return group

    @rule(target=groups, group=consumes(groups))
    def returns(self, group: Group) -> object:
        self.in_flight.remove(group)
        leaving = self.core.returned(group)
        for following in leaving:
            self.leaves(following)
        if len(self.in_flight) < self.bounds.rpcs_in_flight:  # all calls that waited for an RPC of this kind to return
            assert not any(one.kind == group.kind for one in self.waiting)
        return multiple(*leaving)

    @rule(index=st.integers(0, 20))
    def gives_up_while_waiting(self, index: int) -> None:
        if self.waiting:
            gone = self.waiting.pop(index % len(self.waiting))
            assert self.core.abandon(gone) is None

    @rule(index=st.integers(0, 20))
    def all_of_an_rpc_give_up(self, index: int) -> None:
        """Only the last one learns that the RPC may be cancelled; it stays in flight until it returns."""
        wanted = [group for group in self.in_flight if group.wanted]
        if wanted:
            group = wanted[index % len(wanted)]
            told = [self.core.abandon(one) for one in group.calls]
            assert told == [None] * (len(told) - 1) + [group]

    @invariant()
    def no_more_is_in_flight_than_allowed(self) -> None:
        assert len(self.in_flight) <= self.bounds.rpcs_in_flight

    @invariant()
    def nobody_is_forgotten(self) -> None:
        expected = {*self.waiting, *(one for group in self.in_flight for one in group.calls)}
        assert set(self.core.unfinished()) == expected

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        """Every waiting call waits for an RPC that will return."""
        assert self.in_flight or not self.waiting

    def teardown(self) -> None:
        """When all RPCs have returned, in any order, no call is left."""
        while self.in_flight:
            group = self.in_flight.pop(0)
            for following in self.core.returned(group):
                self.leaves(following)
        assert not self.waiting
        assert not list(self.core.unfinished())


Callers.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_callers = Callers.TestCase


def test_kinds_take_turns_so_that_a_busy_one_starves_no_other() -> None:
    core = Coalescer(Coalescing(images_per_rpc=2, rpcs_in_flight=1))
    group = core.join(call(KINDS[0]))
    for _ in range(8):
        core.join(call(KINDS[0]))
    core.join(call(KINDS[1]))
    order = []
    while group:
        order.append((group.kind, len(group.calls)))
        group = next(iter(core.returned(group)), None)
    assert order[:3] == [(KINDS[0], 1), (KINDS[0], 2), (KINDS[1], 1)]
    assert order[3:] == [(KINDS[0], 2)] * 3


def test_a_cleared_core_forgets_its_rpcs_and_their_return_changes_nothing() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1))
    group = core.join(first := call())
    core.join(second := call())
    assert group
    assert core.clear() == [second, first]
    assert core.returned(group) == []
    assert core.abandon(first) is None
    assert core.join(call()) is not None


def test_a_call_whose_timeout_has_passed_stands_in_the_client_or_at_the_server() -> None:
    core = Coalescer(Coalescing(images_per_rpc=2, rpcs_in_flight=2))
    calls = [call() for _ in range(4)]
    groups = [core.join(one, 10.0) for one in calls]
    assert [len(group.calls) if group else 0 for group in groups] == [1, 0, 2, 0]
    sentence = "its RPC of 2 images was sent 1.5 seconds before and is not answered"
    assert [str(core.standing(one, 11.5)) for one in calls[1:3]] == [sentence] * 2
    assert str(core.standing(calls[3], 11.5)) == "it waited in the client: 2 RPCs are in flight"
