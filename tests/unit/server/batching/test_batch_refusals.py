"""The batcher alone: submissions it refuses, at once, with a reason and when to come back."""

import asyncio
from collections.abc import Callable

import pytest
from support.models.batches import Gate, entered, marked, marks, waiting_tasks

from digits_server.batching.batcher import Batcher
from digits_server.errors import (
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Status,
    Unavailable,
)


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate, max_queue_size=20)
    tasks = waiting_tasks(batcher, marked(1))
    await entered(gate)
    tasks += waiting_tasks(batcher, marked(*range(10)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match=r"max_queue_size") as caught:
        await batcher.submit(marked(2))
    assert caught.value.retry_after_ms >= 1
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert marks(await batcher.submit(marked(2))) == [2]


async def test_more_images_than_the_queue_holds_are_too_large(make: Callable[..., Batcher]) -> None:
    with pytest.raises(RequestTooLarge, match=r"11 images.*at most 10 may wait \(half of max_queue_size\)"):
        await make(max_queue_size=20).submit(marked(*range(11)))


async def test_an_expired_submission_is_refused_and_never_reaches_the_model(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    first = waiting_tasks(batcher, marked(1))
    await entered(gate)
    late = waiting_tasks(batcher, marked(2), deadline=asyncio.get_running_loop().time() - 1)
    kept = waiting_tasks(batcher, marked(3), deadline=asyncio.get_running_loop().time() + 60)
    await asyncio.sleep(0)
    gate.opened.set()
    with pytest.raises(DeadlineExceeded):
        await late[0]
    assert [marks(await task) for task in first + kept] == [[1], [3]]
    assert gate.seen == [1, 3]


def test_every_error_of_the_batcher_has_a_status_and_a_reason() -> None:
    for kind in (DeadlineExceeded, InferenceFailed, RequestTooLarge, Unavailable, Overloaded):
        assert issubclass(kind, ServingError)
        assert kind.reason
        assert kind.status is not Status.OK


async def test_a_submission_that_would_miss_its_deadline_is_refused_at_once_with_a_retry_time(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    loop = asyncio.get_running_loop()
    tasks = waiting_tasks(batcher, marked(1))
    await entered(gate)
    tasks += [asyncio.create_task(batcher.submit(marked(*[2] * 90), peer="greedy"))]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="before the deadline") as caught:
        await batcher.submit(marked(*[3] * 30), loop.time() + 0.0005, "late")
    assert caught.value.retry_after_ms >= 1
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert 3 not in gate.seen


async def test_a_greedy_connection_leaves_room_for_the_others(make: Callable[..., Batcher], gate: Gate) -> None:
    batcher = make(gate, max_queue_size=40)
    tasks = waiting_tasks(batcher, marked(1))
    await entered(gate)
    tasks += [asyncio.create_task(batcher.submit(marked(*[2] * 10), peer="greedy")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="one connection"):
        await batcher.submit(marked(2), peer="greedy")
    tasks += [asyncio.create_task(batcher.submit(marked(3), peer="modest"))]
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert gate.seen.index(3) == 1 + 10  # after the greedy one's turn
