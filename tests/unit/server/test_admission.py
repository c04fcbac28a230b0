"""Which calls may wait: only those that are expected to be answered in time."""

from time import perf_counter
from typing import Any

import numpy as np
import pytest

from digits_server.batching.admission import HEADROOM, Admission
from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.fair_queue import FairQueue
from digits_server.batching.submission import Submission
from digits_server.errors import Overloaded

SECONDS_AN_IMAGE = 0.01


class Waiting:
    """A queue of images that take 10 ms each, one after the other."""

    def __init__(self) -> None:
        self.queue = FairQueue(1_000, 32)
        self.costs = BatchCosts({1: SECONDS_AN_IMAGE})
        self.admission = Admission(self.queue, self.costs, 1_000)

    def admitted(self, images: int, left: float) -> Submission:
        expected = self.admission.admit(images, "a", left)
        future: Any = None  # no caller waits for an answer here
        return Submission(np.zeros((images, 28, 28), np.uint8), left, "a", future, expected)

    def is_admitted(self, images: int, left: float) -> bool:
        try:
            self.admission.admit(images, "a", left)
        except Overloaded as refusal:
            assert refusal.retry_after_ms > 0
            return False
        return True

    def somebody(self) -> Submission:
        """One waiting image without a deadline."""
        future: Any = None
        return Submission(np.zeros((1, 28, 28), np.uint8), None, "a", future)


@pytest.fixture
def waiting() -> Waiting:
    """One image waits."""
    waiting = Waiting()
    waiting.queue.add(waiting.somebody())
    return waiting


def took(submission: Submission, seconds: float) -> Submission:
    submission.submitted = perf_counter() - seconds
    return submission


def test_a_wait_may_take_the_remaining_time_minus_some_headroom(waiting: Waiting) -> None:
    assert waiting.is_admitted(9, 0.101 / HEADROOM)
    assert not waiting.is_admitted(9, 0.099 / HEADROOM)


def test_requests_that_already_wait_count(waiting: Waiting) -> None:
    waiting.queue.add(waiting.admitted(10, 1.0))
    assert not waiting.is_admitted(9, 0.199 / HEADROOM)
    assert waiting.is_admitted(9, 0.201 / HEADROOM)


def test_longer_waits_than_expected_correct_the_estimate_until_the_queue_is_empty(waiting: Waiting) -> None:
    assert waiting.is_admitted(9, 0.2)
    for _ in range(20):
        waiting.admission.through(took(waiting.admitted(1, 1.0), 3 * 2 * SECONDS_AN_IMAGE))
    assert not waiting.is_admitted(9, 0.29 / HEADROOM)
    assert waiting.is_admitted(9, 0.31 / HEADROOM)
    waiting.admission.empty()
    assert waiting.is_admitted(9, 0.2)


def test_a_single_long_wait_is_forgotten_slowly_and_one_shorter_than_expected_changes_little(waiting: Waiting) -> None:
    for seconds in (10.0, *[2 * SECONDS_AN_IMAGE] * 20):
        waiting.admission.through(took(waiting.admitted(1, 10.0), seconds))
    assert not waiting.is_admitted(9, 0.2 / HEADROOM)


def test_a_submission_whose_turn_comes_too_late_is_rejected(waiting: Waiting) -> None:
    submission = waiting.admitted(10, 1.0)
    assert waiting.admission.too_late(submission, 0.11) is None
    refusal = waiting.admission.too_late(submission, 0.09)
    assert isinstance(refusal, Overloaded)
    assert "longer than expected" in refusal.message
    submission.taken = 5
    assert waiting.admission.too_late(submission, 0.09) is None


def test_a_processor_that_was_slow_is_tried_again_when_the_queue_is_empty() -> None:
    waiting = Waiting()
    for _ in range(100):
        waiting.costs.ran(1, 20 * SECONDS_AN_IMAGE)
    assert waiting.is_admitted(10, 0.2)
    assert not waiting.is_admitted(10, 0.09)
    assert waiting.admission.too_late(waiting.admitted(10, 0.2), 0.1) is None
    waiting.queue.add(waiting.somebody())
    assert not waiting.is_admitted(9, 0.2)


def test_a_processor_that_has_become_faster_is_believed() -> None:
    waiting = Waiting()
    for _ in range(100):
        waiting.costs.ran(1, SECONDS_AN_IMAGE / 2)
    assert waiting.is_admitted(10, 0.06)
