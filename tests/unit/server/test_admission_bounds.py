"""Admission at its exact bounds: the largest request, the expected wait, and what is learned from one wait."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from digits_server.batching import submission as submissions
from digits_server.batching.admission import (
    FALL,
    HEADROOM,
    LEAST_EXPECTED_SECONDS,
    MOST_STRETCH,
    RISE,
    Admission,
)
from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.fair_queue import FairQueue
from digits_server.batching.submission import Submission
from digits_server.errors import DeadlineExceeded, Overloaded, RequestTooLarge

SECONDS_AN_IMAGE = 0.5  # a power of two, so that sums are exact


class Clock:
    """The clock of submissions, which a test moves."""

    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(submissions, "perf_counter", lambda: clock.now)
    return clock


class Queueing:
    """A queue of 100 images, each of which takes half a second, and its admission."""

    def __init__(self, seconds: float = SECONDS_AN_IMAGE) -> None:
        self.queue = FairQueue(100, 32)
        self.costs = BatchCosts({1: seconds})
        self.admission = Admission(self.queue, self.costs, 100)

    def add(self, images: int, peer: str = "a", expected: float = 0.0) -> Submission:
        future: Any = None  # no caller waits for an answer here
        submission = Submission(np.zeros((images, 28, 28), np.uint8), None, peer, future, expected)
        self.queue.add(submission)
        return submission

    def most_stretch_admitted(self, count: int, expected: float) -> Callable[[float], bool]:
        """Whether `count` more images are admitted if waits take so many times as long as expected, and not longer."""

        def is_it(stretch: float) -> bool:
            self.admission.admit(count, "b", expected * stretch * 1.000001 / HEADROOM)
            with pytest.raises(Overloaded, match="the images that wait could not be answered before the deadline"):
                self.admission.admit(count, "b", expected * stretch * 0.999999 / HEADROOM)
            return True

        return is_it


def test_a_request_of_half_the_queue_is_the_largest_that_may_wait() -> None:
    queueing = Queueing()
    assert queueing.admission.admit(50, "a", None) == 0.0
    with pytest.raises(RequestTooLarge) as caught:
        queueing.admission.admit(51, "a", None)
    assert caught.value.message == "the request has 51 images; at most 50 may wait (half of max_queue_size)"


def test_a_request_that_does_not_fit_is_told_the_bound_and_when_to_try_again() -> None:
    queueing = Queueing()
    queueing.add(50)
    with pytest.raises(Overloaded) as caught:
        queueing.admission.admit(1, "a", None)
    assert caught.value.message == (
        "50 images wait; the queue holds at most 100 (max_queue_size), "
        "and one connection at most as many as it leaves free"
    )
    assert caught.value.retry_after_ms == 25_000


def test_a_rejected_caller_waits_at_least_a_millisecond() -> None:
    queueing = Queueing(0.00001)
    queueing.add(50)
    with pytest.raises(Overloaded) as caught:
        queueing.admission.admit(1, "a", None)
    assert caught.value.retry_after_ms == 1


def test_an_empty_queue_admits_a_request_that_is_just_in_time() -> None:
    queueing = Queueing()
    assert queueing.admission.admit(2, "a", 1.0) == 0.0
    with pytest.raises(Overloaded, match="the images could not be answered before the deadline"):
        queueing.admission.admit(2, "a", 0.999)


def test_the_expected_wait_is_that_of_the_images_before_and_its_own() -> None:
    queueing = Queueing()
    queueing.add(3)
    assert queueing.admission.admit(1, "b", 10.0) == 2 * SECONDS_AN_IMAGE  # two turns
    assert queueing.admission.admit(3, "b", 10.0) == 6 * SECONDS_AN_IMAGE
    assert queueing.admission.admit(1, "b", None) == 0.0
    assert queueing.admission.admit(1, "b", 2 * SECONDS_AN_IMAGE / HEADROOM) == 2 * SECONDS_AN_IMAGE


def test_one_long_wait_counts_for_three_tenths_and_a_short_one_for_little(clock: Clock) -> None:
    queueing = Queueing()
    waited = queueing.add(1, expected=1.0)
    clock.now += 3.0
    queueing.admission.through(waited)
    stretch = 1.0 + RISE * (3.0 - 1.0)
    is_stretched = queueing.most_stretch_admitted(1, 2 * SECONDS_AN_IMAGE)
    assert is_stretched(stretch)
    clock.now -= 2.0
    queueing.admission.through(waited)
    assert is_stretched(stretch + FALL * (1.0 - stretch))


def test_no_single_wait_counts_for_more_than_ten_times_the_expectation_or_less_than_once(clock: Clock) -> None:
    queueing = Queueing()
    waited = queueing.add(1, expected=1.0)
    is_stretched = queueing.most_stretch_admitted(1, 2 * SECONDS_AN_IMAGE)
    queueing.admission.through(waited)  # after no time at all
    assert is_stretched(1.0)
    clock.now += 1000.0
    queueing.admission.through(waited)
    assert is_stretched(1.0 + RISE * (MOST_STRETCH - 1.0))


def test_waits_with_a_tiny_estimate_are_not_learned_from(clock: Clock) -> None:
    queueing = Queueing()
    short = queueing.add(1, expected=LEAST_EXPECTED_SECONDS * 0.99)
    noticeable = queueing.add(1, expected=LEAST_EXPECTED_SECONDS)
    clock.now += 1000.0
    queueing.admission.through(short)
    assert queueing.admission.too_late(short, 0.001) is None
    is_stretched = queueing.most_stretch_admitted(1, 2 * SECONDS_AN_IMAGE)
    assert is_stretched(1.0)
    assert queueing.admission.too_late(noticeable, 0.001) is not None
    assert is_stretched(1.0 + RISE * (MOST_STRETCH - 1.0))


def test_a_submission_that_is_too_late_teaches_how_long_it_would_have_waited(clock: Clock) -> None:
    queueing = Queueing()
    waited = queueing.add(2, expected=1.0)
    clock.now += 2.0
    assert queueing.admission.too_late(waited, 1.0) is None  # its two images take exactly what is left
    refusal = queueing.admission.too_late(waited, 0.99)
    assert refusal is not None
    assert refusal.message == ("the images waited longer than expected, and could not be answered before the deadline")
    is_stretched = queueing.most_stretch_admitted(1, 2 * SECONDS_AN_IMAGE)
    assert is_stretched(1.0 + RISE * (3.0 - 1.0))  # it waited 2 seconds, and needed one more


def test_a_submission_that_is_next_is_late_at_its_deadline_and_not_before() -> None:
    queueing = Queueing()
    submission = queueing.add(1)
    late = queueing.admission.too_late(submission, 0.0)
    assert isinstance(late, DeadlineExceeded)
    assert late.message == "the deadline passed while the images waited for the model"
    assert queueing.admission.too_late(submission, 0.001) is None
