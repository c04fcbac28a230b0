"""Small calls that wait in the receiving thread: a bounded queue in which connections take turns."""

from collections import deque
from collections.abc import Hashable
from typing import NamedTuple

from digits_server.errors import Overloaded

LARGEST_CALL = 32
"""Images of the largest call that may wait here. A larger one would delay the others of its batch noticeably."""

BATCH_IMAGES = 256
"""Most images of one batch: the largest shape for which a model is compiled."""

LEAST_CALLS = 2
"""The smallest allowed bound: a connection must leave as many places free as it holds, so of two places it can take
one."""

LEAST_RETRY_MS = 20
"""Shortest time, in milliseconds, after which a rejected caller is asked to try again."""

HEADROOM = 0.8
"""An expected wait may take at most this share of the time left to the caller's deadline."""

MEMORY = 0.9
"""Weight of the earlier estimate of the seconds per image, against one more batch."""


class Waiting(NamedTuple):
    """One call. Times are in seconds, of `time.perf_counter`.

    pixels  784 bytes for each of its images
    """

    call: int
    pixels: bytes
    images: int
    arrived: float
    deadline: float | None


class Batch(NamedTuple):
    """The calls that leave the queue in one turn: to compute, too late, or without a caller."""

    calls: list[Waiting]
    late: list[Waiting]
    left: list[Waiting]


class CallQueue:
    """Holds at most `most_calls` calls; one connection may hold no more than it leaves free for the others."""

    def __init__(self, most_calls: int) -> None:
        self._most_calls = max(LEAST_CALLS, most_calls)
        self._queues: dict[Hashable, deque[Waiting]] = {}
        self._waiting: set[int] = set()
        self._left: set[int] = set()
        """Waiting calls whose callers have left."""
        self.calls = 0
        """Calls that wait."""
        self._seconds_per_image = 0.0
        self.images = 0
        """Images that wait."""

    def add(self, waiting: Waiting, peer: Hashable) -> None:
        """Takes one more call of the connection `peer`. Raises Overloaded when it does not fit or would be too late."""
        queue = self._queues.get(peer)
        held = len(queue) if queue else 0
        if held + 1 > self._most_calls - self.calls - 1:
            raise self._overloaded(
                f"{self.calls} calls wait; at most {self._most_calls} may (max_calls), "
                "and one connection may have at most as many as it leaves free"
            )
        if waiting.deadline is not None:
            expected = self._seconds_per_image * (self.images + waiting.images)
            if expected > HEADROOM * (waiting.deadline - waiting.arrived):
                raise self._overloaded("the calls that wait could not be answered before the deadline")
        if queue is None:
            queue = self._queues[peer] = deque()
        queue.append(waiting)
        self._waiting.add(waiting.call)
        self.calls += 1
        self.images += waiting.images

    def cancel(self, call: int) -> None:
        """The caller of `call` has left. No effect if the call is not waiting."""
        if call in self._waiting:
            self._left.add(call)

    def take(self, now: float, most_images: int = BATCH_IMAGES) -> Batch:
        """The next batch. Each connection has its turn for one call, then the next.

        It ends before the call with which it would have more than `most_images`; its first call may be larger.
        """
        batch = Batch([], [], [])
        room = most_images
        while self._queues:
            for peer, queue in list(self._queues.items()):
                if batch.calls and queue[0].images > room:
                    return batch
                waiting = queue.popleft()
                if not queue:
                    del self._queues[peer]
                self.calls -= 1
                self.images -= waiting.images
                self._waiting.discard(waiting.call)
                if waiting.call in self._left:
                    self._left.discard(waiting.call)
                    batch.left.append(waiting)
                elif waiting.deadline is not None and waiting.deadline <= now:
                    batch.late.append(waiting)
                else:
                    batch.calls.append(waiting)
                    room -= waiting.images
        return batch

    def took(self, images: int, seconds: float) -> None:
        """While calls waited, a batch of `images` took `seconds`, until the next batch began."""
        self._seconds_per_image = MEMORY * self._seconds_per_image + (1 - MEMORY) * seconds / images

    def _overloaded(self, message: str) -> Overloaded:
        return Overloaded(message, max(LEAST_RETRY_MS, round(1000 * self._seconds_per_image * self.images)))
