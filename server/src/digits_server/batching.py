"""Natural micro-batching: whatever has queued while the last batch ran is the next batch. No timer, no added delay.

The batcher knows images, probabilities, deadlines and one function that turns the first into the second. It lives on
one event loop: `submit` is called there, small batches run there, and large ones in one thread beside it.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

import numpy as np

from digits_server.errors import DeadlineExceeded, InferenceFailed, Overloaded, RequestTooLarge, Unavailable
from digits_server.runtimes import Images, Probabilities

log = logging.getLogger(__name__)

FIRST_GUESS = 10_000.0
"""Images a second, until the first batch has been measured: used to tell a refused caller when to come back."""


class BatchObserver(Protocol):
    """Is told what happens; seconds and images."""

    def waited(self, seconds: float) -> None:
        """The first images of one submission left the queue."""
        ...

    def ran(self, images: int, seconds: float) -> None:
        """One batch went through the model."""
        ...


class _Submission:
    """The images of one caller: those before `taken` are in a batch or answered, the rest wait."""

    __slots__ = ("answer", "deadline", "future", "images", "submitted", "taken")

    def __init__(self, images: Images, deadline: float | None, future: asyncio.Future[Probabilities]) -> None:
        self.images = images
        self.deadline = deadline
        self.future = future
        self.submitted = perf_counter()
        self.taken = 0
        self.answer: Probabilities | None = None

    @property
    def waiting(self) -> int:
        return len(self.images) - self.taken


_Piece = tuple[_Submission, int, int]
"""A submission and the range of its images that is in the batch."""


class Batcher:
    """A bounded queue of images in front of one model.

    predict         uint8[N, 28, 28] → float32[N, 10]; called with at most `max_batch_size` images, one batch at a time
    max_batch_size  images the model sees at once; a larger submission is split
    max_queue_size  images that may wait; a submission that does not fit is refused
    inline_size     batches of at most so many images run on the event loop itself: they take less time there than
                    handing them to a thread and back
    """

    def __init__(
        self,
        predict: Callable[[Images], Probabilities],
        observer: BatchObserver,
        *,
        max_batch_size: int,
        max_queue_size: int,
        inline_size: int = 0,
    ) -> None:
        self._predict = predict
        self._observer = observer
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._inline_size = inline_size
        self._queue: OrderedDict[_Submission, None] = OrderedDict()
        self._waiting = 0
        self._busy = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._rate = FIRST_GUESS
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch")

    @property
    def waiting(self) -> int:
        """Images in the queue now."""
        return self._waiting

    async def submit(self, images: Images, deadline: float | None = None) -> Probabilities:
        """The probabilities of `images`: uint8[N, 28, 28] → float32[N, 10].

        `deadline` is a time of the event loop's clock, seconds. Cancelling the caller takes its images off the queue.
        Raises RequestTooLarge, Overloaded, Unavailable, DeadlineExceeded or InferenceFailed.
        """
        loop = asyncio.get_running_loop()
        self._admit(len(images))
        submission = _Submission(images, deadline, loop.create_future())
        self._queue[submission] = None
        self._waiting += len(images)
        if not self._busy:
            self._busy = True
            self._idle.clear()
            if len(images) <= self._inline_size:
                self._next_batch(loop)  # alone: nobody waits for company; what arrives meanwhile is the next batch
            else:
                loop.call_soon(self._next_batch, loop)
        try:
            return await submission.future
        except asyncio.CancelledError:
            self._drop(submission)
            raise

    async def close(self) -> None:
        """Refuses new submissions and returns when the last batch is done."""
        self._closed = True
        await self._idle.wait()
        self._thread.shutdown()

    def _admit(self, count: int) -> None:
        if self._closed:
            raise Unavailable("the server is draining")
        if count > self._max_queue_size:
            raise RequestTooLarge(
                f"the request has {count} images; the queue holds at most {self._max_queue_size} (max_queue_size)"
            )
        if self._waiting + count > self._max_queue_size:
            raise Overloaded(
                f"{self._waiting} images wait and the queue holds at most {self._max_queue_size} (max_queue_size)",
                retry_after_ms=max(1, round(1000 * self._waiting / self._rate)),
            )

    def _next_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs what waits, up to the bound, or rests."""
        pieces = self._take(loop.time())
        if not pieces:
            self._busy = False
            self._idle.set()
            return
        parts = [submission.images[start:stop] for submission, start, stop in pieces]
        images = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if len(images) <= self._inline_size:
            self._finish(loop, pieces, self._timed(images))
        else:
            running = loop.run_in_executor(self._thread, self._timed, images)
            running.add_done_callback(lambda done: self._finish(loop, pieces, done.result()))

    def _take(self, now: float) -> list[_Piece]:
        """Takes the oldest images off the queue, at most a batch of them; none of the expired or cancelled."""
        pieces: list[_Piece] = []
        room = self._max_batch_size
        left = perf_counter()
        while self._queue and room:
            submission = next(iter(self._queue))
            if submission.future.done():  # cancelled; its caller has not run yet to drop it
                self._drop(submission)
                continue
            if submission.deadline is not None and submission.deadline <= now:
                self._drop(submission)
                submission.future.set_exception(
                    DeadlineExceeded("the deadline passed while the images waited for the model")
                )
                continue
            if not submission.taken:
                self._observer.waited(left - submission.submitted)
            start, stop = submission.taken, submission.taken + min(room, submission.waiting)
            submission.taken = stop
            room -= stop - start
            self._waiting -= stop - start
            if not submission.waiting:
                del self._queue[submission]
            pieces.append((submission, start, stop))
        return pieces

    def _timed(self, images: Images) -> tuple[Probabilities | None, float]:
        """The probabilities, or None when the model failed, and the seconds it took. Never raises."""
        begin = perf_counter()
        try:
            probabilities = self._predict(images)
        except Exception:
            log.exception("the model failed on a batch of %d images", len(images))
            return None, perf_counter() - begin
        return probabilities, perf_counter() - begin

    def _finish(
        self, loop: asyncio.AbstractEventLoop, pieces: list[_Piece], outcome: tuple[Probabilities | None, float]
    ) -> None:
        """Hands each caller its own rows, then goes on."""
        probabilities, seconds = outcome
        first = 0
        for submission, start, stop in pieces:
            rows = None if probabilities is None else probabilities[first : first + stop - start]
            first += stop - start
            self._deliver(submission, start, stop, rows)
        self._observer.ran(first, seconds)
        self._rate += 0.2 * (first / max(seconds, 1e-6) - self._rate)
        loop.call_soon(self._next_batch, loop)

    def _deliver(self, submission: _Submission, start: int, stop: int, rows: Probabilities | None) -> None:
        if submission.future.done():  # cancelled while its batch ran
            return
        if rows is None:
            self._drop(submission)
            submission.future.set_exception(InferenceFailed("the model failed on these images"))
        elif len(rows) == len(submission.images):
            submission.future.set_result(rows)
        else:
            if submission.answer is None:
                submission.answer = np.empty((len(submission.images), rows.shape[1]), np.float32)
            submission.answer[start:stop] = rows
            if stop == len(submission.images):
                submission.future.set_result(submission.answer)

    def _drop(self, submission: _Submission) -> None:
        """Takes what still waits of a submission off the queue."""
        if submission in self._queue:
            del self._queue[submission]
            self._waiting -= submission.waiting
