"""Work in the background thread takes turns, is bounded in bytes, and is dropped if no caller waits for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from support.waiting import until

from digits_server.errors import DeadlineExceeded, InvalidRequest, Overloaded, Unavailable
from digits_server.service.offload import Offload

SECONDS = 10.0


class Blocked:
    """Work that runs until it is released."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._go = threading.Event()

    def __call__(self) -> str:
        self._begun.set()
        assert self._go.wait(SECONDS)
        return "done"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, SECONDS)

    def let_go(self) -> None:
        self._go.set()


@asynccontextmanager
async def busy(offload: Offload, size: int = 1) -> AsyncIterator[Blocked]:
    """The thread is busy with a connection's work of `size` bytes until the end, or until it is released."""
    blocked = Blocked()
    running = asyncio.create_task(offload.run(blocked, peer="busy", size=size, deadline=None))
    try:
        await blocked.begun()
        yield blocked
    finally:
        blocked.let_go()
        assert await running == "done"


@pytest.fixture
async def offload() -> AsyncIterator[Offload]:
    made = Offload("test", max_bytes=100)
    yield made
    made.close()


def submit(offload: Offload, peer: str, work: Callable[[], object], size: int = 1) -> "asyncio.Task[object]":
    return asyncio.create_task(offload.run(work, peer=peer, size=size, deadline=None))


async def test_work_runs_in_another_thread_and_its_result_comes_back(offload: Offload) -> None:
    assert await offload.run(threading.get_ident, peer=1, size=1, deadline=None) != threading.get_ident()
    assert offload.held_bytes == 0


@pytest.mark.parametrize("error", [InvalidRequest("wrong"), TimeoutError("its own"), ValueError()])
async def test_an_error_of_the_work_is_raised(offload: Offload, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await offload.run(fail, peer=1, size=1, deadline=asyncio.get_running_loop().time() + SECONDS)
    assert raised.value.args == error.args
    assert offload.held_bytes == 0


async def test_connections_take_turns(offload: Offload) -> None:
    order: list[str] = []
    async with busy(offload):
        waiting = [submit(offload, "a", partial(order.append, f"a{number}")) for number in range(4)]
        await asyncio.sleep(0)
        waiting.append(submit(offload, "b", lambda: order.append("b")))
        await asyncio.sleep(0)
        waiting.append(submit(offload, "c", lambda: order.append("c")))
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
    assert order == ["a0", "b", "c", "a1", "a2", "a3"]


async def test_more_bytes_than_may_wait_are_overload(offload: Offload) -> None:
    async with busy(offload, size=60):
        with pytest.raises(Overloaded, match="at most 100") as raised:
            await offload.run(int, peer="other", size=41, deadline=None)
        assert raised.value.retry_after_ms > 0
        others = [submit(offload, "other", int, size=40)]
        await asyncio.sleep(0)
        assert offload.held_bytes == 100
    assert await asyncio.gather(*others) == [0]
    assert offload.held_bytes == 0


async def test_one_connection_leaves_as_much_free_as_it_holds(offload: Offload) -> None:
    async with busy(offload, size=40):
        with pytest.raises(Overloaded):
            await offload.run(int, peer="busy", size=11, deadline=None)
        other = submit(offload, "other", int, size=50)
        await asyncio.sleep(0)
    assert await other == 0


async def test_a_message_larger_than_the_bound_is_taken_when_nothing_waits(offload: Offload) -> None:
    assert await offload.run(int, peer=1, size=1_000, deadline=None) == 0


async def test_work_whose_deadline_passes_while_it_waits_is_dropped(offload: Offload) -> None:
    ran: list[int] = []
    async with busy(offload):
        deadline = asyncio.get_running_loop().time() + 0.01
        with pytest.raises(DeadlineExceeded):
            await offload.run(lambda: ran.append(1), peer="late", size=50, deadline=deadline)
        assert offload.held_bytes == 1
    assert await offload.run(int, peer="late", size=1, deadline=None) == 0
    assert not ran


async def test_the_caller_gets_an_answer_at_its_deadline_even_if_its_work_has_begun(offload: Offload) -> None:
    blocked = Blocked()
    deadline = asyncio.get_running_loop().time() + 0.01
    with pytest.raises(DeadlineExceeded):
        await offload.run(blocked, peer=1, size=7, deadline=deadline)
    assert offload.held_bytes == 7
    blocked.let_go()
    assert await offload.run(int, peer=1, size=1, deadline=None) == 0
    assert offload.held_bytes == 0


async def test_work_whose_caller_left_is_dropped(offload: Offload) -> None:
    ran: list[int] = []
    async with busy(offload):
        leaving = submit(offload, "leaving", lambda: ran.append(1), size=50)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert offload.held_bytes == 1
    assert await offload.run(int, peer="leaving", size=1, deadline=None) == 0
    assert not ran


async def test_a_caller_that_leaves_when_its_turn_comes_delays_no_other(offload: Offload) -> None:
    async with busy(offload) as blocked:
        leaving, staying = submit(offload, "leaving", int), submit(offload, "staying", int)
        await asyncio.sleep(0)
        blocked.let_go()
        await asyncio.to_thread(until, lambda: offload.held_bytes <= 3, "its turn comes", SECONDS)
        leaving.cancel()
        await asyncio.wait([leaving], timeout=SECONDS)
        assert await asyncio.wait_for(staying, SECONDS) == 0
    assert offload.held_bytes == 0


async def test_once_closed_new_and_waiting_requests_are_rejected(offload: Offload) -> None:
    async with busy(offload):
        waiting = submit(offload, "waiting", int)
        await asyncio.sleep(0)
        offload.close()
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await offload.run(int, peer=1, size=1, deadline=None)
