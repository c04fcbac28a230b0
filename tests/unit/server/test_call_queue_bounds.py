"""The queue of small calls at its exact bounds: places, images of a batch, deadlines and expected waits."""

import pytest

from digits_server.batching.call_queue import BATCH_IMAGES, HEADROOM, LARGEST_CALL, MEMORY, CallQueue, Waiting
from digits_server.errors import Overloaded


def call(number: int, images: int = 1, *, arrived: float = 0.0, deadline: float | None = None) -> Waiting:
    return Waiting(number, b"", images, arrived, deadline)


def numbers(waiting: list[Waiting]) -> list[int]:
    return [each.call for each in waiting]


def refusal(queue: CallQueue, waiting: Waiting, peer: str) -> Overloaded:
    with pytest.raises(Overloaded) as caught:
        queue.add(waiting, peer)
    return caught.value


def test_the_smallest_queue_has_a_place_for_one_call() -> None:
    queue = CallQueue(0)
    queue.add(call(0), "a")
    assert refusal(queue, call(1), "b").message == (
        "1 calls wait; at most 2 may (max_calls), and one connection may have at most as many as it leaves free"
    )


def test_a_call_is_admitted_if_its_wait_takes_exactly_its_share_of_the_time_left() -> None:
    queue = CallQueue(100)
    queue.took(2, 2 * 1.0 / (1 - MEMORY))  # a second for each image, by one batch
    queue.add(call(0, images=3), "a")
    left = 4.0 / HEADROOM
    queue.add(call(1, arrived=7.0, deadline=7.0 + left * 1.000001), "b")
    assert refusal(queue, call(2, arrived=7.0, deadline=7.0 + left), "c").message == (
        "the calls that wait could not be answered before the deadline"
    )
    assert (queue.calls, queue.images) == (2, 4)


def test_a_rejected_caller_is_told_how_long_the_images_that_wait_will_take() -> None:
    queue = CallQueue(2)
    queue.took(10, 0.5)
    queue.add(call(0, images=30), "a")
    assert refusal(queue, call(1), "b").retry_after_ms == round(1000 * 30 * (1 - MEMORY) * 0.05)
    queue.took(1, 0.0)
    assert refusal(queue, call(1), "b").retry_after_ms == round(1000 * 30 * MEMORY * (1 - MEMORY) * 0.05)


def test_a_rejected_caller_waits_at_least_20_milliseconds() -> None:
    queue = CallQueue(2)
    queue.add(call(0), "a")
    assert refusal(queue, call(1), "b").retry_after_ms == 20


def test_a_call_at_its_deadline_is_late() -> None:
    queue = CallQueue(100)
    queue.add(call(0, deadline=2.0), "a")
    queue.add(call(1, deadline=2.001), "a")
    batch = queue.take(2.0)
    assert (numbers(batch.late), numbers(batch.calls)) == ([0], [1])


def test_a_batch_takes_calls_until_the_largest_call_would_no_longer_fit() -> None:
    queue = CallQueue(1000)
    for number in range(20):
        queue.add(call(number, LARGEST_CALL), "a")
    assert len(queue.take(0.0).calls) == BATCH_IMAGES // LARGEST_CALL  # the whole batch
    for number, images in enumerate([*[LARGEST_CALL] * 7, 1, 1]):
        queue.add(call(100 + number, images), f"peer {number}")
    assert queue.images == 12 * LARGEST_CALL + 7 * LARGEST_CALL + 2
    while queue.calls:
        batch = queue.take(0.0)
        assert sum(each.images for each in batch.calls) <= BATCH_IMAGES
        assert not queue.calls or sum(each.images for each in batch.calls) > BATCH_IMAGES - LARGEST_CALL


def test_a_batch_may_be_bounded_to_fewer_images_but_never_to_none() -> None:
    """So it is with a slow model; and a call may wait from when the model was a faster one."""
    queue = CallQueue(1000)
    for number, images in enumerate([3, 5, 1, 9, 8]):
        queue.add(call(number, images), "a")
    taken = [numbers(queue.take(0.0, most_images=8).calls) for _ in range(4)]
    assert taken == [[0, 1], [2], [3], [4]]
    assert queue.calls == 0


def test_calls_that_are_not_computed_take_no_place_in_a_batch() -> None:
    queue = CallQueue(1000)
    for number in range(100):
        queue.add(call(number, LARGEST_CALL, deadline=1.0), "late")
        queue.add(call(1000 + number, LARGEST_CALL), "left")
        queue.cancel(1000 + number)
    queue.add(call(7777), "waits")
    batch = queue.take(1.0)
    assert (len(batch.late), len(batch.left), numbers(batch.calls)) == (100, 100, [7777])
    assert (queue.calls, queue.images) == (0, 0)


def test_the_number_of_a_call_may_be_used_again_once_its_caller_has_left() -> None:
    queue = CallQueue(100)
    queue.add(call(1), "a")
    queue.cancel(1)
    assert numbers(queue.take(0.0).left) == [1]
    queue.cancel(1)  # too late: it no longer waits
    queue.add(call(1), "a")
    assert numbers(queue.take(0.0).calls) == [1]
