"""Whose connections are closed, and when: loads as the server would see them, a tick after the other."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digits_server.transports.envoy import connections
from digits_server.transports.envoy.connections import DOOR, Door
from digits_server.transports.envoy.shedding import (
    BEHIND_TICKS,
    CALM_TICKS,
    MOST_PATIENCE_TICKS,
    NOBODY_TICKS,
    PATIENCE_TICKS,
    QUIET_TICKS,
    Load,
    Shedding,
    Useful,
    greediest,
)

FULL = Load(calls=1000, arrived=1000, answered=1000)
TOO_MUCH = Load(calls=4000, refused=1000, arrived=1500, answered=1000)
GIVEN_UP = Load(calls=4000, arrived=50, answered=0)
HALF = Load(calls=500, arrived=500, answered=500)
SOMEBODY_NEW = Load(calls=500, arrived=500, answered=500, connections=1)
HARDLY_TOO_MUCH = Load(calls=1050, refused=350, arrived=700, answered=700)
HELD_BACK = Load(calls=600, arrived=600, answered=100)
RESETS = Load(calls=9000, arrived=500, answered=500)
NOTHING = Load()


@pytest.fixture
def shedding() -> Shedding:
    begun = Shedding()
    assert begun.tick(FULL) == 1
    return begun


@pytest.fixture
def besieged(shedding: Shedding) -> Shedding:
    besiege(shedding)
    return shedding


def besiege(shedding: Shedding) -> None:
    closing = [shedding.tick(TOO_MUCH) < 1 for _ in range(BEHIND_TICKS)]
    assert closing == [False] * (BEHIND_TICKS - 1) + [True]
    assert shedding.turning_away


def ticks_until_it_lets_in(shedding: Shedding) -> int:
    for tick in range(1, MOST_PATIENCE_TICKS + 2):
        shedding.tick(HALF)
        if not shedding.turning_away:
            return tick
    raise AssertionError("nobody was let in")


def test_as_many_stay_as_can_be_answered_and_a_little_more(shedding: Shedding) -> None:
    staying = [shedding.tick(TOO_MUCH) for _ in range(BEHIND_TICKS)][-1]
    assert 0.25 < staying < 0.3


@pytest.mark.parametrize(
    "load",
    [FULL, HALF, RESETS, Load(calls=1300, refused=300, arrived=1000, answered=1000), Load(150, 150), NOTHING],
)
def test_nobody_is_closed_while_what_is_waited_for_is_answered_or_little_comes(shedding: Shedding, load: Load) -> None:
    assert all(shedding.tick(load) == 1 for _ in range(100))
    assert not shedding.turning_away


def test_connections_are_closed_when_all_callers_give_up_before_anybody_knows_of_them(shedding: Shedding) -> None:
    assert [shedding.tick(GIVEN_UP) < 1 for _ in range(BEHIND_TICKS)][-1]


def test_a_stall_closes_nobody(shedding: Shedding) -> None:
    for _ in range(20):
        assert all(shedding.tick(TOO_MUCH) == 1 for _ in range(BEHIND_TICKS - 1))
        assert shedding.tick(FULL) == 1
    assert not shedding.turning_away


def test_a_thousand_calls_whose_answers_take_two_tenths_of_a_second_turn_nobody_away(shedding: Shedding) -> None:
    for load in (Load(500, 0, 500, 100), Load(500, 0, 500, 100), Load(answered=800)):
        assert shedding.tick(load) == 1
    assert not shedding.turning_away


def test_one_is_let_in_once_there_has_been_room_and_the_next_after_him(besieged: Shedding) -> None:
    assert ticks_until_it_lets_in(besieged) == PATIENCE_TICKS
    besieged.tick(HALF)
    assert not besieged.turning_away
    besieged.tick(SOMEBODY_NEW)
    assert ticks_until_it_lets_in(besieged) == PATIENCE_TICKS


def test_nobody_is_let_in_as_long_as_there_is_no_room(besieged: Shedding) -> None:
    for _ in range(10):
        besieged.tick(FULL)
        assert besieged.turning_away


def test_one_is_let_in_where_all_goes_well_though_there_was_never_more_to_do(besieged: Shedding) -> None:
    for _ in range(CALM_TICKS - 1):
        besieged.tick(FULL)
        assert besieged.turning_away
    besieged.tick(FULL)
    assert not bool(besieged.turning_away)


def test_patience_grows_each_time_it_was_one_too_many_and_ends_when_nobody_comes(besieged: Shedding) -> None:
    waited = []
    for _ in range(4):
        waited.append(ticks_until_it_lets_in(besieged))
        for _ in range(BEHIND_TICKS):
            besieged.tick(TOO_MUCH)
    assert waited == [PATIENCE_TICKS, 2 * PATIENCE_TICKS, MOST_PATIENCE_TICKS, MOST_PATIENCE_TICKS]
    ticks_until_it_lets_in(besieged)
    for _ in range(NOBODY_TICKS + 1):
        besieged.tick(FULL)
    for _ in range(BEHIND_TICKS):
        besieged.tick(TOO_MUCH)
    assert ticks_until_it_lets_in(besieged) == PATIENCE_TICKS


def test_everybody_is_let_in_when_there_is_little_to_do(shedding: Shedding) -> None:
    shedding.tick(FULL)
    for _ in range(MOST_PATIENCE_TICKS):
        besiege(shedding)
        ticks_until_it_lets_in(shedding)
    besiege(shedding)
    for _ in range(QUIET_TICKS):
        assert shedding.turning_away
        shedding.tick(NOTHING)
    assert not bool(shedding.turning_away)


def test_refusals_of_what_is_hardly_too_much_close_nobody_at_first(shedding: Shedding) -> None:
    staying = [shedding.tick(HARDLY_TOO_MUCH) for _ in range(2 * BEHIND_TICKS)]
    assert [each < 1 for each in staying] == [False] * (2 * BEHIND_TICKS - 1) + [True]


def test_calls_come_to_python_in_a_later_tick_than_to_envoy(shedding: Shedding) -> None:
    assert [shedding.tick(Load(arrived=600)) < 1 for _ in range(BEHIND_TICKS)][-1]


def test_some_are_closed_for_calls_that_come_too_late_though_so_many_could_be_answered(shedding: Shedding) -> None:
    staying = [shedding.tick(HELD_BACK) for _ in range(2 * BEHIND_TICKS)]
    assert [each < 1 for each in staying] == 2 * ([False] * (BEHIND_TICKS - 1) + [True])


def test_who_sends_most_in_vain_is_closed_and_who_is_answered_is_not() -> None:
    received = {"large": 80_000_000, "modest": 2_000, "attacker": 2_000_000, "greedy": 5_000_000}
    useful = {"large": 79_000_000, "modest": 1_000, "greedy": 4_000_000}
    assert greediest(0.1, received, useful) == ["attacker"]
    useful["greedy"] = 0
    assert greediest(0.1, received, useful) == ["greedy", "attacker"]
    assert greediest(0.99, received, useful) == ["greedy"]


@pytest.mark.parametrize(("staying", "closed"), [(0.99, 1), (0.5, 4), (0.25, 6), (0.01, 6)])
def test_of_equals_so_many_are_closed(staying: float, closed: int) -> None:
    assert len(greediest(staying, dict.fromkeys(range(8), 1000), {})) == closed


@given(
    st.floats(0, 1, exclude_max=True),
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))),
)
def test_never_all_are_closed_and_never_who_is_answered(staying: float, bytes_of: dict[int, tuple[int, int]]) -> None:
    received = {peer: sent for peer, (sent, _) in bytes_of.items()}
    useful = {peer: of_use for peer, (_, of_use) in bytes_of.items()}
    closed = greediest(staying, received, useful)
    assert len(closed) < max(1, len(received))
    assert all(useful[peer] < received[peer] for peer in closed)


def test_a_call_answered_is_of_use_with_its_headers_and_a_message_of_a_stream_is_no_call() -> None:
    useful = Useful()
    useful.answered("a", 784)
    useful.took("b", 784)
    assert useful.calls == 1
    assert useful.bytes["a"] == useful.bytes["b"] > 784


def test_nothing_is_kept_of_connections_that_nobody_looks_at() -> None:
    useful = Useful(by_connection=False)
    useful.answered("a", 784)
    useful.took("b", 784)
    assert useful.calls == 1
    assert not useful.bytes


@pytest.fixture
def pair() -> Iterator[tuple[int, list[socket.socket], list[socket.socket]]]:
    """A port of this process, its ends of two connections to there, and the callers'."""
    with ExitStack() as closing, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        callers = [closing.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(2)]
        ends = [closing.enter_context(listening.accept()[0]) for _ in callers]
        yield port, ends, callers


Pair = tuple[int, list[socket.socket], list[socket.socket]]


def test_the_bytes_of_each_connection_are_told(pair: Pair) -> None:
    port, ends, callers = pair
    callers[0].sendall(bytes(1000))
    assert ends[0].recv(1000, socket.MSG_WAITALL) == bytes(1000)
    assert connections.received(port) == {callers[0].getsockname(): 1000, callers[1].getsockname(): 0}
    assert connections.received(port + 1) == {}


def test_the_connection_that_is_closed_is_the_one_that_was_meant(pair: Pair) -> None:
    port, ends, callers = pair
    peer = callers[0].getsockname()
    assert connections.close([peer], port + 1) == 0
    assert connections.close([], port) == 0
    assert connections.close([peer, ("127.0.0.1", 1)], port) == 1
    assert ends[0].recv(1) == b""
    callers[1].sendall(b"x")
    assert ends[1].recv(1) == b"x"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_looking_at_connections_leaves_no_descriptor_behind(pair: Pair) -> None:
    port, _, callers = pair
    before = descriptors()
    for _ in range(10):
        connections.received(port)
        connections.close([callers[0].getsockname()], port)
    assert descriptors() == before


def test_a_door_is_open_at_first_and_a_new_file_each_time_it_changes(tmp_path: Path) -> None:
    door, file = Door(tmp_path), tmp_path / DOOR
    assert file.read_text() == "0"
    seen = [file.stat().st_ino]
    for may_enter, text in ((False, "1"), (True, "0")):
        door.set_open(may_enter=may_enter)
        assert file.read_text() == text
        seen.append(file.stat().st_ino)
        door.set_open(may_enter=may_enter)
        assert file.stat().st_ino == seen[-1]
    assert seen[0] != seen[1] != seen[2]
