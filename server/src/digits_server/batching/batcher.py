"""Natural micro-batching: the images that queued while the last batch ran are the next batch. No timer, no added delay.

The batcher knows images, probabilities, deadlines and one function from images to probabilities. It lives on one event
loop, and `submit` is called there. Small submissions are computed there too, while that takes less time than a handover
to a thread. Large ones are computed by a background thread, slice by slice, so that small ones never wait for them.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Protocol

import numpy as np

from digits_server.batching.admission import Admission
from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.fair_queue import FairQueue, Piece, Submission
from digits_server.batching.waiters import Waiters
from digits_server.errors import DeadlineExceeded, InferenceFailed, ServingError, Unavailable
from digits_server.runtimes import Images, Probabilities

log = logging.getLogger(__name__)

INLINE_SECONDS = 0.0003
"""A batch that takes at most this long may run on the event loop itself: handing it to a thread and back would cost
nearly as much, and other work of the loop does not wait noticeably."""

SLICE_SECONDS = 0.002
"""How long the thread may run one batch. Larger batches cost less per image, but other large submissions wait."""

TURN_SECONDS = 0.02
"""How long one submission may fill the batches before other connections have their turn. If turns changed with every
batch, all submissions would end late, and each new one would delay all waiting ones."""

SMALL_IMAGES = 32
"""Images of the largest submission that counts as small."""

LEAST_QUEUE = 2
"""The smallest allowed queue, in images: a connection must leave as many places free as it holds, so of two places it
can take one."""

THREAD_NICENESS = 5
"""How much lower the priority of the thread of large batches is than that of the event loop, when they share a core."""


class BatchObserver(Protocol):
    """Receives events of the batcher, in seconds and images."""

    def waited(self, seconds: float) -> None:
        """The first images of one submission left the queue."""
        ...

    def ran(self, images: int, seconds: float) -> None:
        """One batch went through the model."""
        ...


class Batcher:
    """A bounded queue of images in front of one model.

    predict         uint8[N, 28, 28] → float32[N, 10]; called from the event loop and from one thread, perhaps at once
    costs           the seconds of a batch of each size
    max_batch_size  most images in one run of the model; fewer if more would only delay others. A larger submission
                    is split
    max_queue_size  images that may wait; a submission that does not fit is rejected
    """

    def __init__(
        self,
        predict: Callable[[Images], Probabilities],
        observer: BatchObserver,
        costs: BatchCosts,
        *,
        max_batch_size: int,
        max_queue_size: int,
    ) -> None:
        max_queue_size = max(LEAST_QUEUE, max_queue_size)
        self._predict = predict
        self._observer = observer
        self._costs = costs
        self._thread_size = min(max_batch_size, max(costs.efficient_size, costs.largest_within(SLICE_SECONDS)))
        self._loop_size = min(max_batch_size, max_queue_size // 2, costs.largest_within(INLINE_SECONDS))
        self._small_size = min(SMALL_IMAGES, self._loop_size)
        turn = max(self._thread_size, costs.largest_within(TURN_SECONDS))
        self._queue = FairQueue(max_queue_size, self._small_size or SMALL_IMAGES, turn)
        self._admission = Admission(self._queue, costs, max_queue_size)
        self._take_in_thread = self._queue.take_large if self._loop_size else self._queue.take
        self._loop_busy = self._thread_busy = self._closed = False
        self._patient = Waiters()
        self._idle = asyncio.Event()
        self._idle.set()
        self._joined_in_loop = np.empty((self._loop_size, 28, 28), np.uint8)
        self._joined_in_thread = np.empty((self._thread_size, 28, 28), np.uint8)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batch", initializer=_give_way)

    @property
    def waiting(self) -> int:
        """Images in the queue now."""
        return self._queue.waiting

    async def submit(
        self, images: Images, deadline: float | None = None, peer: Hashable = None, *, patient: bool = False
    ) -> Probabilities:
        """The probabilities of `images`: uint8[N, 28, 28] → float32[N, 10].

        deadline  a time of the event loop's clock, in seconds
        peer      the connection whose turn it is
        patient   waits for a place if the queue is full, instead of being rejected

        Cancelling the caller removes its images from the queue.
        Raises RequestTooLarge, Overloaded, Unavailable, DeadlineExceeded or InferenceFailed.
        """
        loop = asyncio.get_running_loop()
        count = len(images)
        if not self._loop_busy and count <= (self._small_size if self._thread_busy else self._loop_size):
            return self._at_once(loop, images, deadline)
        if patient:  # a submission that can never have a place is rejected below
            await self._patient.until(
                lambda: self._closed or not self._queue or self._queue.has_room(count, peer),
                deadline,
                "the deadline passed while the images waited for a place in the queue",
            )
        self._check(loop, deadline)
        expected = self._admission.admit(count, peer, None if deadline is None else deadline - loop.time())
        submission = Submission(images, deadline, peer, loop.create_future(), expected)
        self._queue.add(submission)
        if count > self._small_size and not self._thread_busy:
            self._thread_busy = True
            self._idle.clear()
            loop.call_soon(self._next_in_thread, loop)
        try:
            return await submission.future
        except asyncio.CancelledError:
            self._queue.remove(submission)
            self._patient.tell()
            raise

    async def close(self) -> None:
        """Rejects new submissions, and returns when the last batch is done."""
        self._closed = True
        self._patient.tell()
        await self._idle.wait()
        self._thread.shutdown()

    def _at_once(self, loop: asyncio.AbstractEventLoop, images: Images, deadline: float | None) -> Probabilities:
        """Runs a batch of one submission at once. Submissions that arrive meanwhile are the next batch."""
        self._check(loop, deadline)
        self._loop_busy = True
        self._idle.clear()
        loop.call_soon(self._next_in_loop, loop)
        self._observer.waited(0.0)
        probabilities, seconds = self._timed(images, None)
        self._ran(len(images), seconds)
        if probabilities is None:
            raise _failed()
        return probabilities

    def _check(self, loop: asyncio.AbstractEventLoop, deadline: float | None) -> None:
        if self._closed:
            raise Unavailable("the server is draining")
        if deadline is not None and deadline <= loop.time():
            raise DeadlineExceeded("the deadline passed before the model computed the images")

    def _next_in_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs the small submissions that wait, up to the bound; without any, it stops."""
        pieces = self._queue.take_small(self._loop_size, self._usable(loop.time()))
        if pieces:
            images = _join(pieces, self._joined_in_loop)
            self._finish(pieces, self._timed(images, pieces))
            loop.call_soon(self._next_in_loop, loop)
        else:
            self._loop_busy = False
            self._rest()

    def _next_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the thread run the next slice of the large submissions; without any, it stops."""
        pieces = self._take_in_thread(self._thread_size, self._usable(loop.time()))
        if pieces:
            images = _join(pieces, self._joined_in_thread)
            running = loop.run_in_executor(self._thread, self._timed, images, pieces)
            running.add_done_callback(lambda done: self._finish(pieces, done.result()))
            running.add_done_callback(lambda _done: self._next_in_thread(loop))
        else:
            self._thread_busy = False
            self._rest()

    def _rest(self) -> None:
        if not (self._loop_busy or self._thread_busy):
            self._patient.tell()
            self._admission.empty()
            self._idle.set()

    def _usable(self, now: float) -> Callable[[Submission], bool]:
        """A function that says whether a submission may be computed: it has not expired and was not cancelled."""
        left = perf_counter()

        def usable(submission: Submission) -> bool:
            if submission.future.done():  # cancelled; its caller has not yet removed it from the queue
                return False
            if submission.deadline is not None and (error := self._error(submission, submission.deadline - now)):
                submission.future.set_exception(error)
                return False
            if not submission.taken:
                self._observer.waited(left - submission.submitted)
            return True

        return usable

    def _error(self, submission: Submission, left: float) -> ServingError | None:
        """The error if `submission` cannot be answered within the seconds `left`; None if it can."""
        if left <= 0:
            return DeadlineExceeded("the deadline passed while the images waited for the model")
        return self._admission.too_late(submission, left)

    def _timed(self, images: Images, _pieces: list[Piece] | None) -> tuple[Probabilities | None, float]:
        """The probabilities, or None when the model failed, and the seconds it took. Never raises.

        `_pieces` are the parts of submissions that the images belong to; None: one whole submission.
        """
        begin = perf_counter()
        try:
            probabilities = self._predict(images)
        except Exception:
            log.exception("the model failed on a batch of %d images", len(images))
            return None, perf_counter() - begin
        return probabilities, perf_counter() - begin

    def _finish(self, pieces: list[Piece], outcome: tuple[Probabilities | None, float]) -> None:
        """Hands each caller its own rows."""
        probabilities, seconds = outcome
        first = 0
        for submission, start, stop in pieces:
            rows = None if probabilities is None else probabilities[first : first + stop - start]
            first += stop - start
            self._deliver(submission, start, stop, rows)
        self._ran(first, seconds)
        self._patient.tell()

    def _ran(self, images: int, seconds: float) -> None:
        self._observer.ran(images, seconds)
        self._costs.ran(images, seconds)

    def _deliver(self, submission: Submission, start: int, stop: int, rows: Probabilities | None) -> None:
        if submission.future.done():  # cancelled while its batch ran
            return
        if rows is None:
            self._queue.remove(submission)
            submission.future.set_exception(_failed())
        elif len(rows) == len(submission.images):
            self._admission.through(submission)
            submission.future.set_result(rows)
        else:
            if submission.answer is None:
                submission.answer = np.empty((len(submission.images), rows.shape[1]), np.float32)
            submission.answer[start:stop] = rows
            if stop == len(submission.images):
                self._admission.through(submission)
                submission.future.set_result(submission.answer)


def _join(pieces: list[Piece], joined: Images) -> Images:
    """The images of all pieces as one array, in `joined`; a single piece is not copied."""
    parts = [piece.submission.images[piece.start : piece.stop] for piece in pieces]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, out=joined[: sum(map(len, parts))])


def _give_way() -> None:
    """Lowers the priority of the current thread; only Linux has a priority for each thread."""
    if sys.platform == "linux":
        with suppress(OSError):  # some sandboxes refuse it: the thread then works at the usual priority
            niceness = os.getpriority(os.PRIO_PROCESS, 0) + THREAD_NICENESS
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _failed() -> InferenceFailed:
    return InferenceFailed("the model failed on these images")
