"""Small calls that wait for the receiving thread: bounded, in turns of connections, none computed in waste."""

import pytest

from digits_server.batching.call_queue import BATCH_IMAGES, LARGEST_CALL, CallQueue, Waiting
from digits_server.errors import Overloaded


def call(number: int, images: int = 1, *, arrived: float = 0.0, deadline: float | None = None) -> Waiting:
    return Waiting(number, b"", images, arrived, deadline)


def numbers(waiting: list[Waiting]) -> list[int]:
    return [each.call for each in waiting]


def test_all_calls_that_wait_are_the_next_batch() -> None:
    queue = CallQueue(100)
    for number in range(5):
        queue.add(call(number), "a")
    assert numbers(queue.take(0.0).calls) == [0, 1, 2, 3, 4]
    assert (queue.calls, queue.images) == (0, 0)


def test_a_batch_never_holds_more_images_than_it_may() -> None:
    queue = CallQueue(100)
    for number in range(30):
        queue.add(call(number, LARGEST_CALL - 1), "a")
    taken = []
    while queue.calls:
        batch = queue.take(0.0)
        assert sum(each.images for each in batch.calls) <= BATCH_IMAGES
        taken += numbers(batch.calls)
    assert taken == list(range(30))


def test_a_connection_with_many_calls_does_not_delay_one_with_few() -> None:
    queue = CallQueue(2000)
    for number in range(600):
        queue.add(call(number), "greedy")
    queue.add(call(1000), "modest")
    assert 1000 in numbers(queue.take(0.0).calls)


def test_a_call_more_than_may_wait_is_refused_and_told_the_limit() -> None:
    queue = CallQueue(4)
    queue.add(call(0), "a")
    queue.add(call(1), "b")
    with pytest.raises(Overloaded, match=r"2 calls wait; at most 4 may \(max_calls\)") as caught:
        queue.add(call(2), "a")
    assert caught.value.retry_after_ms > 0
    assert queue.calls == 2


def test_one_connection_leaves_half_of_the_places_to_others() -> None:
    queue = CallQueue(100)
    for number in range(50):
        queue.add(call(number), "greedy")
    with pytest.raises(Overloaded):
        queue.add(call(50), "greedy")
    queue.add(call(200), "modest")
    assert queue.calls == 51


def test_a_call_that_would_be_too_late_is_refused_at_once() -> None:
    queue = CallQueue(100)
    for _ in range(200):
        queue.took(1, 1.0)  # from now on each image takes a second
    queue.add(call(0, deadline=10.0), "a")
    with pytest.raises(Overloaded, match="before the deadline"):
        queue.add(call(1, images=20, deadline=10.0), "b")
    queue.add(call(2, images=20), "b")  # without a deadline it can wait
    assert queue.calls == 2


def test_a_call_whose_deadline_has_passed_is_not_computed() -> None:
    queue = CallQueue(100)
    queue.add(call(0, deadline=1.0), "a")
    queue.add(call(1, deadline=3.0), "a")
    batch = queue.take(2.0)
    assert (numbers(batch.calls), numbers(batch.late)) == ([1], [0])


def test_a_call_whose_caller_has_left_is_not_computed() -> None:
    queue = CallQueue(100)
    queue.add(call(0), "a")
    queue.add(call(1), "a")
    queue.cancel(0)
    batch = queue.take(0.0)
    assert (numbers(batch.calls), numbers(batch.left)) == ([1], [0])


def test_a_cancellation_that_comes_too_late_does_not_touch_a_later_call() -> None:
    queue = CallQueue(100)
    queue.add(call(1), "a")  # the queue is never empty
    queue.cancel(7)  # answered already
    queue.add(call(7), "a")
    assert numbers(queue.take(0.0).calls) == [1, 7]
