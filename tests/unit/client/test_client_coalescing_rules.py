"""The rules of coalescing at their exact bounds: what is counted, how long calls wait, what an interruption leaves."""

from typing import Any

import pytest

from digits_client import Coalescing, QueueFull
from digits_client._coalescing.calls import Call, Group, Kind
from digits_client._coalescing.core import Coalescer
from digits_client._coalescing.stats import Stats

PLAIN, WITH_PROBABILITIES = Kind(0, probabilities=False), Kind(0, probabilities=True)


def call(kind: Kind = PLAIN, deadline: float = 0.0) -> Call:
    return Call(b"", kind, deadline, None)


def left(group: Group | None) -> Group:
    assert group is not None
    return group


@pytest.mark.parametrize("name", ["images_per_rpc", "rpcs_in_flight", "max_waiting"])
def test_every_bound_is_at_least_one(name: str) -> None:
    least: dict[str, Any] = {name: 1}
    Coalescing(**least)
    least[name] = 0
    with pytest.raises(ValueError, match=f"^{name}: expected at least 1, got 0$"):
        Coalescing(**least)


def test_a_call_too_many_is_refused_with_the_limit_and_counted() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1, max_waiting=1200))
    core.join(call())
    for _ in range(1200):
        core.join(call())
    with pytest.raises(
        QueueFull, match=r"^1,200 images already wait in this client: make fewer calls at once, or raise max_"
    ):
        core.join(call())
    assert (core.waiting, core.stats().calls_refused) == (1200, 1)


def test_everything_is_counted() -> None:
    core = Coalescer(Coalescing(images_per_rpc=3, rpcs_in_flight=2))
    assert core.stats() == Stats(usual_rpc_seconds=0.05)
    assert core.stats().images_per_rpc == 0.0
    first = left(core.join(call(), 1.0))
    for _ in range(2):
        assert core.join(call(), 1.0) is None
    second = left(core.join(call(), 1.0))
    core.join(call(), 1.0)
    now: dict[str, Any] = {"rpcs_sent": 2, "images_sent": 4, "largest_rpc": 3, "rpcs_in_flight": 2}
    assert core.stats() == Stats(**now, images_in_flight=4, images_waiting=1, usual_rpc_seconds=0.05)
    assert core.stats().images_per_rpc == 2.0
    (third,) = core.returned(first, 1.25, answered=True)
    assert (third.calls[0].group, third.wanted, third.left) == (third, 1, 1.25)
    core.returned(second, 9.0)
    core.returned(second, 9.0, answered=True)  # a second report of the same RPC changes nothing
    core.returned(third, 9.0)
    stats = core.stats()
    assert (stats.rpcs_sent, stats.images_sent, stats.largest_rpc) == (3, 5, 3)
    assert (stats.rpcs_answered, stats.rpcs_failed) == (1, 2)
    assert (stats.rpcs_in_flight, stats.images_in_flight, stats.images_waiting) == (0, 0, 0)
    assert stats.usual_rpc_seconds == pytest.approx(0.05 + 0.1 * (0.25 - 0.05))


def test_calls_wait_four_usual_durations_behind_an_rpc_within_bounds() -> None:
    core = Coalescer(Coalescing())
    assert core.patience == pytest.approx(4 * 0.05)

    def answered(seconds: float) -> None:
        core.returned(left(core.join(call(), 0.0)), seconds, answered=True)

    answered(0.15)
    assert core.patience == pytest.approx(4 * 0.06)
    for _ in range(100):
        answered(1.0)
    assert core.patience == 0.25
    for _ in range(100):
        answered(0.001)
    assert core.patience == 0.02


def test_calls_leave_without_an_rpc_of_their_kind_that_takes_too_long() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=3))
    core.join(call(), 10.0)
    core.join(call(WITH_PROBABILITIES), 10.125)
    waiting, other = call(), call(WITH_PROBABILITIES)
    core.join(waiting)
    core.join(other)
    assert core.overdue(10.19) == []
    (group,) = core.overdue(10.25)
    assert (group.calls, group.left) == ([waiting], 10.25)
    assert core.overdue(10.4) == []  # no fourth RPC
    assert core.returned(group, 10.5) == []  # the RPC of the other kind is in flight
    assert core.waiting == 1


def test_patience_counts_from_the_rpc_that_left_last() -> None:
    core = Coalescer(Coalescing(images_per_rpc=2, rpcs_in_flight=3))
    core.join(call(), 10.0)
    core.join(call(), 10.0)
    assert core.join(call(), 10.1) is not None  # it fills an RPC
    core.join(call(), 10.1)
    assert core.overdue(10.25) == []
    assert len(core.overdue(10.31)) == 1


def test_an_rpc_lasts_until_the_latest_deadline_of_its_callers() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1))
    first = left(core.join(call()))
    for deadline in (3.0, 7.0, 5.0):
        core.join(call(deadline=deadline))
    (group,) = core.returned(first)
    assert (group.deadline, group.sent, group.rpc) == (7.0, False, None)


def test_an_rpc_may_be_cancelled_once_no_caller_wants_it_and_while_it_is_in_flight() -> None:
    core = Coalescer(Coalescing(images_per_rpc=2, rpcs_in_flight=1))
    first = left(core.join(alone := call()))
    calls = [call(), call()]
    for each in calls:
        core.join(each)
    (group,) = core.returned(first)
    assert core.abandon(alone) is None  # its RPC has returned
    assert core.abandon(calls[0]) is None
    assert core.abandon(calls[0]) is None  # counted once
    assert core.abandon(calls[1]) is group


def test_a_call_that_never_joined_can_be_given_up() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1))
    core.join(call())
    core.join(call())
    assert core.abandon(call()) is None
    assert core.abandon(call(WITH_PROBABILITIES)) is None
    assert core.waiting == 1


def test_a_call_interrupted_while_it_joins_leaves_no_trace() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=2))
    first = left(core.join(call()))
    first.sent = True
    waiting, interrupted, other = call(), call(), call(WITH_PROBABILITIES)
    core.join(waiting)
    core.join(interrupted)
    core._waiting_images = 7  # interrupted before it was counted
    assert core.withdraw(interrupted) == []
    assert (core.waiting, interrupted.abandoned) == (1, True)
    assert set(core.unfinished()) == {*first.calls, waiting}
    group = left(core.join(other))
    core._groups.clear()  # interrupted before its group was noted
    assert core.withdraw(other) == [group]
    core._groups.add(first)
    assert core.withdraw(call()) == [group]
    (following,) = core.returned(first)
    assert following.calls == [waiting]


def test_a_call_that_waits_alone_and_is_interrupted_frees_its_kind() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1))
    first = left(core.join(call()))
    core.join(interrupted := call(WITH_PROBABILITIES))
    core.withdraw(interrupted)
    assert core.returned(first) == []
    assert core.join(call(WITH_PROBABILITIES)) is not None


def test_what_is_cleared_is_not_counted_any_longer() -> None:
    core = Coalescer(Coalescing(rpcs_in_flight=1))
    core.join(call())
    core.join(call())
    core.clear()
    stats = core.stats()
    assert (core.waiting, stats.images_waiting, stats.rpcs_in_flight, stats.images_in_flight) == (0, 0, 0, 0)
