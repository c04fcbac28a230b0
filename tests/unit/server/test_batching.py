"""The batcher alone, in front of a model that the test holds in its hand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.batcher import SMALL_IMAGES, Batcher
from digits_server.errors import (
    DeadlineExceeded,
    InferenceFailed,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Unavailable,
)

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


def marked(*marks: int) -> Images:
    """Images that can be told apart: each full of its mark."""
    return np.repeat(np.array(marks, np.uint8), 784).reshape(-1, 28, 28)


def echo(images: Images) -> Probabilities:
    """Ten times the mark of each image."""
    return np.repeat(images[:, :1, 0].astype(np.float32), 10, axis=1)


def marks(probabilities: Probabilities) -> list[int]:
    return [int(row[0]) for row in probabilities]


def costs(inline_size: int = 0) -> BatchCosts:
    """Of a model for which larger batches always pay, and for which those up to `inline_size` run on the event loop."""
    return BatchCosts({2**power: 0.0001 if 2**power <= inline_size else 0.001 for power in range(11)})


class Observer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.waits: list[float] = []

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ran(self, images: int, seconds: float) -> None:
        assert seconds >= 0
        self.batches.append(images)


class Gate:
    """A model that answers when it is opened, and counts the images it has seen."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.seen: list[int] = []

    def __call__(self, images: Images) -> Probabilities:
        self.entered.set()
        assert self.opened.wait(30)
        self.seen += [int(image[0, 0]) for image in images]
        return echo(images)


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def make(observer: Observer, gate: Gate) -> AsyncIterator[Callable[..., Batcher]]:
    """Makes batchers and ends them."""
    made: list[Batcher] = []

    def batcher(predict: Callable[[Images], Probabilities] = echo, inline_size: int = 0, **bounds: int) -> Batcher:
        bounds = {"max_batch_size": 8, "max_queue_size": 200, **bounds}
        made.append(Batcher(predict, observer, costs(inline_size), **bounds))
        return made[-1]

    yield batcher
    gate.opened.set()
    for each in made:
        await asyncio.wait_for(each.close(), 30)


async def entered(gate: Gate) -> None:
    """Returns once the model is busy with a batch."""
    assert await asyncio.to_thread(gate.entered.wait, 30)


def waiting_tasks(
    batcher: Batcher, *submissions: Images, deadline: float | None = None
) -> list[asyncio.Task[Probabilities]]:
    return [asyncio.create_task(batcher.submit(images, deadline)) for images in submissions]


async def test_what_queued_while_a_batch_ran_is_the_next_batch(
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
    assert marks(await batcher.submit(marked(*range(30)))) == list(range(30))
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


async def test_nobody_small_waits_for_anybody_large(make: Callable[..., Batcher], gate: Gate) -> None:
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


async def test_a_cancelled_caller_frees_its_place_and_its_images_never_reach_the_model(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    first, cancelled, kept = waiting_tasks(batcher, marked(1), marked(2, 2, 2), marked(3))
    await asyncio.sleep(0)  # all three are submitted: in one batch, were nobody cancelled
    cancelled.cancel()
    await asyncio.wait([cancelled])
    gate.opened.set()
    assert [marks(await task) for task in (first, kept)] == [[1], [3]]
    assert 2 not in gate.seen
    assert batcher.waiting == 0


async def test_a_caller_cancelled_while_its_batch_runs_disturbs_no_batch_mate(
    make: Callable[..., Batcher], gate: Gate
) -> None:
    batcher = make(gate)
    tasks = waiting_tasks(batcher, marked(1), marked(2), marked(3))
    await entered(gate)
    tasks[1].cancel()
    gate.opened.set()
    assert marks(await tasks[0]) == [1]
    assert marks(await tasks[2]) == [3]
    assert tasks[1].cancelled() or await asyncio.wait([tasks[1]])


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


async def test_closing_answers_what_was_submitted_and_refuses_the_rest(
    make: Callable[..., Batcher], gate: Gate
) -> None:
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


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_cancelling_anyone_at_any_moment_hangs_nobody_and_mixes_nothing(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=15))
    doomed = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    pauses = data.draw(st.lists(st.integers(0, 3), min_size=len(sizes), max_size=len(sizes)))
    inline_size = data.draw(st.sampled_from([0, 4, 100]))

    async def scenario() -> None:
        batcher = Batcher(echo, Observer(), costs(inline_size), max_batch_size=5, max_queue_size=1000)
        sent = [[(11 * caller + index) % 256 for index in range(size)] for caller, size in enumerate(sizes)]
        tasks = [asyncio.create_task(batcher.submit(marked(*each))) for each in sent]
        for caller, pause in enumerate(pauses):
            for _ in range(pause):
                await asyncio.sleep(0)
            if caller in doomed:
                tasks[caller].cancel()
        answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        for caller, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                assert isinstance(answer, asyncio.CancelledError)
                assert caller in doomed
            else:
                assert marks(answer) == sent[caller]
        assert batcher.waiting == 0
        await batcher.close()

    asyncio.run(scenario())


def test_every_error_of_the_batcher_has_a_status_and_a_reason() -> None:
    for kind in (DeadlineExceeded, InferenceFailed, RequestTooLarge, Unavailable, Overloaded):
        assert issubclass(kind, ServingError)
        assert kind.reason


async def test_what_cannot_be_through_before_its_deadline_is_refused_at_once_and_told_when_to_come_back(
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
