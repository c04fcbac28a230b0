"""The batcher and those who wait for it, at the exact bounds and in the exact words."""

import asyncio
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.models.batches import Gate, entered, marked, waiting_tasks

from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.batcher import Batcher
from digits_server.batching.waiters import Waiters
from digits_server.errors import DeadlineExceeded, InferenceFailed, Unavailable

ONE = np.zeros((1, 28, 28), np.uint8)


class Model:
    """Answers at once, or fails; counts its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: list[str] = []
        self.waits: list[float] = []
        self.fails = False

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(images))
        self.threads.append(threading.current_thread().name)
        if self.fails:
            raise RuntimeError("a fault")
        return np.zeros((len(images), 10), np.float32)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def ran(self, images: int, seconds: float) -> None:
        assert images > 0
        assert seconds >= 0


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def batcher(model: Model) -> AsyncIterator[Batcher]:
    """A batcher that runs up to 8 images on the event loop."""
    costs = BatchCosts({2**power: 0.0001 if power < 4 else 0.001 for power in range(7)})
    batcher = Batcher(model, model, costs, max_batch_size=64, max_queue_size=100)
    yield batcher
    await asyncio.wait_for(batcher.close(), 30)


async def test_a_submission_whose_deadline_has_passed_is_not_computed(batcher: Batcher, model: Model) -> None:
    now = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded) as caught:
        await batcher.submit(ONE, now)
    assert caught.value.message == "the deadline passed before the model computed the images"
    assert model.batches == []
    await batcher.submit(ONE, now + 30)
    assert (model.batches, model.waits) == ([1], [0.0])


@pytest.mark.parametrize("images", [1, 40])
async def test_a_model_that_fails_is_said_to_have_failed(batcher: Batcher, model: Model, images: int) -> None:
    model.fails = True
    with pytest.raises(InferenceFailed) as caught:
        await batcher.submit(np.zeros((images, 28, 28), np.uint8))
    assert caught.value.message == "the model failed on these images"
    (waited,) = model.waits
    assert waited >= 0
    assert model.threads == [threading.current_thread().name if images == 1 else "batch_0"]


async def test_half_of_a_small_queue_is_computed_on_the_event_loop(model: Model) -> None:
    costs = BatchCosts({2**power: 0.0001 for power in range(7)})
    batcher = Batcher(model, model, costs, max_batch_size=64, max_queue_size=8)
    await batcher.submit(np.zeros((4, 28, 28), np.uint8))
    await asyncio.wait_for(batcher.close(), 30)
    assert model.threads == [threading.current_thread().name]


async def test_a_closed_batcher_says_that_the_server_is_draining(batcher: Batcher) -> None:
    await batcher.close()
    with pytest.raises(Unavailable) as caught:
        await batcher.submit(ONE)
    assert caught.value.message == "the server is draining"


async def full(model: Gate) -> Batcher:
    """A batcher that computes one image, and whose queue of two holds another."""
    batcher = Batcher(model, Model(), BatchCosts({1: 1.0}), max_batch_size=1, max_queue_size=2)
    tasks = waiting_tasks(batcher, ONE)
    await entered(model)
    tasks += waiting_tasks(batcher, ONE)
    await asyncio.sleep(0)
    assert batcher.waiting == 1
    return batcher


async def test_a_patient_submission_waits_for_a_place_until_its_deadline() -> None:
    model = Gate()
    batcher = await full(model)
    with pytest.raises(DeadlineExceeded) as caught:
        await asyncio.wait_for(batcher.submit(ONE, asyncio.get_running_loop().time() + 0.01, patient=True), 30)
    assert caught.value.message == "the deadline passed while the images waited for a place in the queue"
    model.opened.set()
    await asyncio.wait_for(batcher.close(), 30)


async def test_a_patient_submission_that_waits_is_refused_when_the_batcher_closes() -> None:
    model = Gate()
    batcher = await full(model)
    patient = asyncio.create_task(batcher.submit(ONE, patient=True))
    await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(Unavailable):
        await asyncio.wait_for(patient, 30)
    model.opened.set()
    await asyncio.wait_for(closing, 30)


async def test_a_submission_that_expires_in_the_queue_is_not_computed() -> None:
    model = Gate()
    batcher = Batcher(model, Model(), BatchCosts({1: 0.001}), max_batch_size=1, max_queue_size=4)
    first = waiting_tasks(batcher, marked(1))
    await entered(model)
    deadline = asyncio.get_running_loop().time() + 0.1
    late = waiting_tasks(batcher, marked(2), deadline=deadline)
    asyncio.get_running_loop().call_at(deadline + 0.01, model.opened.set)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(late[0], 30)
    await first[0]
    assert model.seen == [1]
    await asyncio.wait_for(batcher.close(), 30)


async def test_a_waiter_is_told_of_each_change_until_its_condition_holds() -> None:
    waiters, open_doors, asked = Waiters(), set(), []

    def holds(door: str) -> bool:
        asked.append(door)
        return door in open_doors

    await waiters.until(lambda: True)
    tasks = [asyncio.create_task(waiters.until(lambda name=name: holds(name))) for name in "ab"]  # type: ignore[misc]
    for door in "ab":
        await asyncio.sleep(0)
        open_doors.add(door)
        waiters.tell()
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert len(asked) < 12  # asked after changes, not all the time
    waiters.tell()  # to no one


async def test_a_waiter_gives_up_at_its_deadline_with_the_sentence_it_was_given() -> None:
    now = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded) as caught:
        await Waiters().until(lambda: False, now + 0.01, "too late")
    assert caught.value.message == "too late"
    await Waiters().until(lambda: True, now - 1, "too late")
