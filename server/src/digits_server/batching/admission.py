"""Admission: decides which submissions may wait for the model, by the free places and by the expected wait."""

from collections.abc import Hashable

from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.fair_queue import FairQueue
from digits_server.batching.submission import Submission
from digits_server.errors import DeadlineExceeded, Overloaded, RequestTooLarge, ServingError

HEADROOM = 0.8
"""An expected wait may take at most this share of the time left to the deadline, because the estimate can be wrong."""

LEAST_EXPECTED_SECONDS = 0.001
"""Shorter waits are not learned from: a short pause of the process takes as long."""

RISE, FALL = 0.3, 0.005
"""Weights of a wait that was longer, or shorter, than expected. A longer wait weighs more, so that most estimates
hold."""

MOST_STRETCH = 10.0


class Admission:
    """Admits submissions to `queue`, which holds at most `max_queue_size` images; `costs` gives the time of a batch.

    A wait takes longer than the images before it need: later connections have their turns too, and the processor has
    other work. The ratio is learned from waits that have ended, and forgotten when the queue is empty.
    """

    def __init__(self, queue: FairQueue, costs: BatchCosts, max_queue_size: int) -> None:
        self._queue = queue
        self._costs = costs
        self._max_queue_size = max_queue_size
        self._stretch = 1.0

    def admit(self, count: int, peer: Hashable, left: float | None) -> float:
        """Seconds after which `count` more images of `peer` should be answered; 0 if no estimate was needed.

        left  seconds until the deadline; None: no deadline, and 0 is returned

        If the queue is empty, the request is admitted unless it would miss its deadline even alone; 0 is returned.
        Raises RequestTooLarge or Overloaded.
        """
        most = self._max_queue_size // 2
        if count > most:
            raise RequestTooLarge(f"the request has {count} images; at most {most} may wait (half of max_queue_size)")
        if not self._queue.has_room(count, peer):
            raise self._overloaded(
                f"{self._queue.waiting} images wait; the queue holds at most {self._max_queue_size} (max_queue_size), "
                "and one connection at most as many as it leaves free"
            )
        if left is None:
            return 0.0
        if not self._queue:  # only a batch that runs can show that a slow processor is fast again
            if min(self._costs.of(count), self._costs.at_warm_up(count)) > left:
                raise self._overloaded("the images could not be answered before the deadline")
            return 0.0
        expected = self._costs.of(self._queue.before(count, peer))
        if expected * self._stretch > HEADROOM * left:
            raise self._overloaded("the images that wait could not be answered before the deadline")
        return expected

    def too_late(self, submission: Submission, left: float) -> ServingError | None:
        """The error if `submission`, which is next, cannot be answered within the `left` seconds; None if it can.

        So the model computes nothing for callers that have given up.
        """
        if left <= 0:
            return DeadlineExceeded("the deadline passed while the images waited for the model")
        if submission.expected < LEAST_EXPECTED_SECONDS:
            return None
        remaining = self._costs.of(submission.waiting)
        if remaining <= left:
            return None
        self._learn(submission, remaining)
        return self._overloaded("the images waited longer than expected, and could not be answered before the deadline")

    def through(self, submission: Submission) -> None:
        """`submission` has been answered."""
        if submission.expected >= LEAST_EXPECTED_SECONDS:
            self._learn(submission, 0.0)

    def empty(self) -> None:
        """The queue is empty: what was learned about waits no longer holds."""
        self._stretch = 1.0

    def _learn(self, submission: Submission, remaining: float) -> None:
        found = min(max((submission.age + remaining) / submission.expected, 1.0), MOST_STRETCH)
        self._stretch += (RISE if found > self._stretch else FALL) * (found - self._stretch)

    def _overloaded(self, message: str) -> Overloaded:
        return Overloaded(message, retry_after_ms=max(1, round(1000 * self._costs.of(self._queue.waiting))))
