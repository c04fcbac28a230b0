"""Natural micro-batching: the images that queued while the last batch ran are the next batch. No timer, no added delay.

The batcher knows images, probabilities, deadlines and one function from images to probabilities. A submission takes one
of three ways to its answer:

    the model is free     `_run_at_once`     it is a batch of its own
    small, model busy     `_next_in_loop`    all small submissions that wait are one batch
    large                 `_next_in_thread`  a background thread computes it, slice by slice

The first two ways run on the event loop, because a small batch takes less time there than its handover to a thread.
Small submissions never wait for large ones: the loop and the thread may call the model at the same time. If even one
image takes too long for the event loop, all submissions go to the thread; half of each batch there is for small ones.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from digits_server.batching.admission import Admission
from digits_server.batching.batch_costs import BatchCosts
from digits_server.batching.batch_sizes import SMALL_IMAGES, BatchSizes
from digits_server.batching.fair_queue import FairQueue
from digits_server.batching.observer import BatchObserver
from digits_server.batching.submission import Piece, Submission, join
from digits_server.batching.waiters import Waiters
from digits_server.errors import DeadlineExceeded, InferenceFailed, Unavailable
from digits_server.runtimes import Images, Probabilities
from digits_server.system.scheduling import lower_priority

log = logging.getLogger(__name__)

LEAST_QUEUE = 2
"""The smallest allowed queue, in images: a connection must leave as many places free as it holds, so of two places it
can take one."""

THREAD_NICENESS = 5
"""How much lower the priority of the thread is than that of the event loop, when they share a core."""


class Batcher:
    """A bounded queue of images in front of one model. Make it inside the event loop it will live on.

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
        self._sizes = sizes = BatchSizes.of(costs, max_batch_size, max_queue_size)
        self._queue = FairQueue(max_queue_size, sizes.small or SMALL_IMAGES, sizes.turn)
        self._admission = Admission(self._queue, costs, max_queue_size)
        self._place_freed = Waiters()
        self._loop = asyncio.get_running_loop()
        self._loop_busy = self._thread_busy = self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop_memory = np.empty((sizes.in_loop, 28, 28), np.uint8)
        self._thread_memory = np.empty((sizes.in_thread, 28, 28), np.uint8)
        self._thread = ThreadPoolExecutor(1, "batch", initializer=lower_priority, initargs=(THREAD_NICENESS,))

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
        count = len(images)
        if patient and not self._may_run_at_once(count):
            await self._until_it_fits(count, deadline, peer)
        if self._may_run_at_once(count):
            return self._run_at_once(images, deadline)
        submission = self._admitted(images, deadline, peer)
        self._queue.add(submission)
        if count > self._sizes.small and not self._thread_busy:
            self._thread_busy = True
            self._idle.clear()
            self._loop.call_soon(self._next_in_thread)
        try:
            return await submission.future
        except asyncio.CancelledError:
            self._queue.remove(submission)
            self._place_freed.tell()
            raise

    async def close(self) -> None:
        """Rejects new submissions, and returns when the last batch is done."""
        self._closed = True
        self._place_freed.tell()
        await self._idle.wait()
        self._thread.shutdown()

    def _may_run_at_once(self, count: int) -> bool:
        """Whether the model is free for so many images. While the thread uses it, small submissions may run beside."""
        largest = self._sizes.small if self._thread_busy else self._sizes.in_loop
        return count <= largest and not self._loop_busy

    async def _until_it_fits(self, count: int, deadline: float | None, peer: Hashable) -> None:
        """Returns when `count` images fit into the queue, or never will: then they are rejected."""
        await self._place_freed.until(
            lambda: self._closed or not self._queue or self._queue.has_room(count, peer),
            deadline,
            "the deadline passed while the images waited for a place in the queue",
        )

    def _admitted(self, images: Images, deadline: float | None, peer: Hashable) -> Submission:
        self._check(deadline)
        left = None if deadline is None else deadline - self._loop.time()
        expected = self._admission.admit(len(images), peer, left)
        return Submission(images, deadline, peer, self._loop.create_future(), expected)

    def _check(self, deadline: float | None) -> None:
        if self._closed:
            raise Unavailable("the server is draining")
        if deadline is not None and deadline <= self._loop.time():
            raise DeadlineExceeded("the deadline passed before the model computed the images")

    def _run_at_once(self, images: Images, deadline: float | None) -> Probabilities:
        """Runs a batch of one submission at once. Submissions that arrive meanwhile are the next batch."""
        self._check(deadline)
        self._loop_busy = True
        self._idle.clear()
        self._loop.call_soon(self._next_in_loop)
        self._observer.waited(0.0)
        probabilities, seconds = self._compute(images, None)
        self._count(len(images), seconds)
        if probabilities is None:
            raise _failed()
        return probabilities

    def _next_in_loop(self) -> None:
        """Runs the small submissions that wait, up to the bound; without any, it stops."""
        pieces = self._queue.take_small(self._sizes.in_loop, self._usable())
        if pieces:
            images = join(pieces, self._loop_memory)
            self._finish(pieces, self._compute(images, pieces))
            self._loop.call_soon(self._next_in_loop)
        else:
            self._loop_busy = False
            self._rest()

    def _next_in_thread(self) -> None:
        """Has the thread run the next slice of the large submissions; without any, it stops."""
        take = self._queue.take_large if self._sizes.in_loop else self._queue.take
        pieces = take(self._sizes.in_thread, self._usable())
        if pieces:
            images = join(pieces, self._thread_memory)
            running = self._loop.run_in_executor(self._thread, self._compute, images, pieces)
            running.add_done_callback(lambda done: self._finish(pieces, done.result()))
            running.add_done_callback(lambda _done: self._next_in_thread())
        else:
            self._thread_busy = False
            self._rest()

    def _rest(self) -> None:
        """If neither the event loop nor the thread runs a batch, no images wait any more."""
        if not (self._loop_busy or self._thread_busy):
            self._place_freed.tell()
            self._admission.empty()
            self._idle.set()

    def _compute(self, images: Images, _pieces: list[Piece] | None) -> tuple[Probabilities | None, float]:
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

    def _count(self, images: int, seconds: float) -> None:
        self._observer.ran(images, seconds)
        self._costs.ran(images, seconds)

    def _usable(self) -> Callable[[Submission], bool]:
        """A function that says whether a submission may be computed: it can be in time and was not cancelled."""
        now, left = self._loop.time(), perf_counter()

        def usable(submission: Submission) -> bool:
            if submission.future.done():  # cancelled; its caller has not yet removed it from the queue
                return False
            if submission.deadline is not None and (
                error := self._admission.too_late(submission, submission.deadline - now)
            ):
                submission.future.set_exception(error)
                return False
            if not submission.taken:
                self._observer.waited(left - submission.submitted)
            return True

        return usable

    def _finish(self, pieces: list[Piece], outcome: tuple[Probabilities | None, float]) -> None:
        """Hands each caller its own rows."""
        probabilities, seconds = outcome
        first = 0
        for piece in pieces:
            after = first + piece.stop - piece.start
            self._deliver(piece, None if probabilities is None else probabilities[first:after])
            first = after
        self._count(first, seconds)
        self._place_freed.tell()

    def _deliver(self, piece: Piece, rows: Probabilities | None) -> None:
        """Answers the caller once all its images are computed, or as soon as the model failed on some of them."""
        submission, start, stop = piece
        if submission.future.done():  # cancelled while its batch ran
            return
        if rows is None:
            self._queue.remove(submission)
            submission.future.set_exception(_failed())
        elif (answer := submission.answered(start, stop, rows)) is not None:
            self._admission.through(submission)
            submission.future.set_result(answer)


def _failed() -> InferenceFailed:
    return InferenceFailed("the model failed on these images")
