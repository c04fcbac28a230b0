"""Who may wait for the model: whose images have a place, and will be through in time as far as can be told."""

from collections.abc import Hashable

from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.fair_queue import FairQueue, Submission
from digits_server.errors import Overloaded, RequestTooLarge

HEADROOM = 0.8
"""The share of the time left that a wait may be expected to take, which none can be sure of."""

LEAST_EXPECTED_SECONDS = 0.001
"""Shorter waits say little about how long others take: a moment's pause of the process is as long."""

RISE, FALL = 0.3, 0.005
"""Weight of one more wait that was longer, or shorter, than expected: what is promised should hold for nearly all."""

MOST_STRETCH = 10.0


class Admission:
    """In front of `queue`, which holds at most `max_queue_size` images, each batch of which has its `costs`.

    A wait takes longer than the images before it: others that come later have their turns too, and the processor has
    other things to do. How much longer is learned from the waits that end, for as long as the queue is never empty.
    """

    def __init__(self, queue: FairQueue, costs: BatchCosts, max_queue_size: int) -> None:
        self._queue = queue
        self._costs = costs
        self._max_queue_size = max_queue_size
        self._stretch = 1.0

    def admit(self, count: int, peer: Hashable, left: float | None) -> float:
        """The seconds after which `count` more images of `peer` should be through, for whom `left` are left.

        None: for ever, and 0 is returned. Who finds nobody waiting is let in if it may be in time at all, and 0 is
        returned. Raises RequestTooLarge or Overloaded.
        """
        most = self._max_queue_size // 2
        if count > most:
            raise RequestTooLarge(f"the request has {count} images; at most {most} may wait (half of max_queue_size)")
        if not self._queue.has_room(count, peer):
            raise self._overloaded(
                f"{self._queue.waiting} images wait; the queue holds at most {self._max_queue_size} (max_queue_size), "
                "and one connection at most what it leaves free"
            )
        if left is None:
            return 0.0
        if not self._queue:  # only batches that run tell that a slow processor is fast again
            if min(self._costs.of(count), self._costs.at_warm_up(count)) > left:
                raise self._overloaded("the images would not be through before the deadline")
            return 0.0
        expected = self._costs.of(self._queue.before(count, peer))
        if expected * self._stretch > HEADROOM * left:
            raise self._overloaded("the images that wait would not be through before the deadline")
        return expected

    def too_late(self, submission: Submission, left: float) -> Overloaded | None:
        """What to say when `submission`, now that it is next, would not be through in the `left` seconds after all.

        None: it would. So nothing is computed for nobody.
        """
        if submission.expected < LEAST_EXPECTED_SECONDS:
            return None
        remaining = self._costs.of(submission.waiting)
        if remaining <= left:
            return None
        self._learn(submission, remaining)
        return self._overloaded("the images waited longer than expected, and would not be through before the deadline")

    def through(self, submission: Submission) -> None:
        """`submission` has been answered."""
        if submission.expected >= LEAST_EXPECTED_SECONDS:
            self._learn(submission, 0.0)

    def empty(self) -> None:
        """Nobody waits."""
        self._stretch = 1.0

    def _learn(self, submission: Submission, remaining: float) -> None:
        found = min(max((submission.age + remaining) / submission.expected, 1.0), MOST_STRETCH)
        self._stretch += (RISE if found > self._stretch else FALL) * (found - self._stretch)

    def _overloaded(self, message: str) -> Overloaded:
        return Overloaded(message, retry_after_ms=max(1, round(1000 * self._costs.of(self._queue.waiting))))
