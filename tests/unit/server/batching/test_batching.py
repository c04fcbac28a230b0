"""The batcher alone: what becomes a batch, and each caller gets the answers of its own images."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.models.batches import (
    Gate,
    Images,
    Observer,
    Probabilities,
    costs,
    echo,
    entered,
    marked,
    marks,
    waiting_tasks,
)

from digits_server.batching.batch_sizes import SMALL_IMAGES
from digits_server.batching.batcher import Batcher
from digits_server.errors import InferenceFailed, Unavailable


async def test_images_that_queued_while_a_batch_ran_are_the_next_batch(
    make: Callable[..., Batcher], gate: Gate, observer: Observer
) -> None:
    batcher = make(gate)
    first = waiting_tasks(batcher, marked(1))
    await entered(gate)
    rest = waiting_tasks(batcher, marked(2), marked(3, 4), marked(5))
    await asyncio.sleep(0)
    assert batcher.waiting == 4
    gate.opened.set()
    assert [marks(await task) for task in first + rest] == [[1], [2], [3, 4], [5]]
    assert observer.batches == [1, 4]
    assert batcher.waiting == 0


async def test_a_batch_never_passes_its_bound_and_a_large_submission_is_split(
    make: Callable[..., Batcher], observer: Observer
) -> None:
    batcher = make(max_batch_size=8)
    answer = await batcher.submit(marked(*range(30)))
    assert marks(answer) == list(range(30))
    assert answer.dtype == np.float32
    assert observer.batches == [8, 8, 8, 6]


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=25),
    max_batch_size=st.integers(1, 32),
    inline_size=st.integers(0, 32),
)
def test_every_caller_gets_the_rows_of_its_own_images(sizes: list[int], max_batch_size: int, inline_size: int) -> None:
    async def scenario() -> None:
        observer = Observer()
        batcher = Batcher(echo, observer, costs(inline_size), max_batch_size=max_batch_size, max_queue_size=1000)
        sent = [[(7 * caller + index) % 256 for index in range(size)] for caller, size in enumerate(sizes)]
        answers = await asyncio.wait_for(asyncio.gather(*(batcher.submit(marked(*each)) for each in sent)), 30)
        await batcher.close()
        assert [marks(answer) for answer in answers] == sent
        assert sum(observer.batches) == sum(sizes)
        assert max(observer.batches) <= max_batch_size
        assert len(observer.waits) == len(sizes)

    asyncio.run(scenario())


async def test_no_small_submission_waits_for_a_large_one(make: Callable[..., Batcher], gate: Gate) -> None:
    def predict(images: Images) -> Probabilities:
        return gate(images) if len(images) > SMALL_IMAGES else echo(images)

    batcher = make(predict, inline_size=SMALL_IMAGES, max_batch_size=2 * SMALL_IMAGES)
    large = asyncio.create_task(batcher.submit(marked(*range(2 * SMALL_IMAGES))))
    await entered(gate)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(batcher.submit(marked(mark)) for mark in range(100)))
    assert [marks(answer) for answer in answers] == [[mark] for mark in range(100)]
    assert not large.done()
    gate.opened.set()
    assert marks(await large) == list(range(2 * SMALL_IMAGES))


async def test_a_patient_submission_that_finds_the_model_free_after_its_wait_is_computed(
    make: Callable[..., Batcher], observer: Observer
) -> None:
    batcher = make(inline_size=8, max_queue_size=16)
    first = [asyncio.create_task(batcher.submit(marked(mark), peer="a")) for mark in range(9)]
    waits_for_a_place = asyncio.create_task(batcher.submit(marked(9), peer="a", patient=True))
    async with asyncio.timeout(30):
        assert [marks(await task) for task in (*first, waits_for_a_place)] == [[mark] for mark in range(10)]
    assert observer.batches == [1, 8, 1]  # the queue was full, then empty


async def test_a_failing_model_fails_its_batch_only(make: Callable[..., Batcher]) -> None:
    def fragile(images: Images) -> Probabilities:
        if 13 in images:
            raise ArithmeticError("a secret of the runtime")
        return echo(images)

    batcher = make(fragile)
    failed = asyncio.create_task(batcher.submit(marked(13)))
    with pytest.raises(InferenceFailed) as caught:
        await failed
    assert "secret" not in str(caught.value)
    assert marks(await batcher.submit(marked(1))) == [1]


async def test_a_split_submission_whose_first_batch_fails_leaves_the_queue(make: Callable[..., Batcher]) -> None:
    def fragile(images: Images) -> Probabilities:
        if 13 in images:
            raise ArithmeticError
        return echo(images)

    batcher = make(fragile, max_batch_size=2)
    with pytest.raises(InferenceFailed):
        await batcher.submit(marked(13, 1, 2, 3, 4, 5))
    assert batcher.waiting == 0
    assert marks(await batcher.submit(marked(6))) == [6]


async def test_closing_answers_submitted_images_and_refuses_others(make: Callable[..., Batcher], gate: Gate) -> None:
    batcher = make(gate)
    tasks = waiting_tasks(batcher, marked(1), marked(*range(20)))
    await entered(gate)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await batcher.submit(marked(5))
    assert not closing.done()
    gate.opened.set()
    await closing
    assert [marks(await task) for task in tasks] == [[1], list(range(20))]
