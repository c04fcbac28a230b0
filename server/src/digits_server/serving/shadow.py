"""A shadow: a candidate version that scores copies of live batches. Callers never get its answers.

Copies wait in a bounded queue. One thread of low priority scores them a few times a second, many at once, for a small
share of the time only. Copies that do not fit are dropped: the candidate may miss images, the live version loses no
time.
"""

import logging
import threading
from collections.abc import Callable
from time import perf_counter

import numpy as np

from digits_server.observability.metrics import ShadowCounts
from digits_server.runtimes import Images, Probabilities, Runtime
from digits_server.system.background_thread import yield_to_calls

log = logging.getLogger(__name__)

Predict = Callable[[Images], Probabilities]

MAX_WAITING = 2048
"""Images that wait for the candidate."""

PAUSE_SECONDS = 0.05
"""Time between two looks at the queue."""

MAX_SHARE = 0.015
"""Share of one core's time that the candidate may take."""


class Shadow:
    """Compares the answers of the candidate, while there is one, with the answers given.

    counts  makes the counters, which are on the page from the first candidate on
    """

    def __init__(self, counts: Callable[[], ShadowCounts]) -> None:
        self._make_counts = counts
        self._thread: threading.Thread | None = None
        self._candidate: Runtime | None = None
        self._lock = threading.Lock()
        self._queue: list[tuple[Images, Probabilities]] = []
        self._waiting = 0
        self._wanted = threading.Event()
        """Set while there is a candidate, and at the end."""
        self._ended = threading.Event()

    def follow(self, candidate: Runtime | None) -> None:
        """From now on `candidate` is compared; None: no candidate."""
        begins = candidate is not None and self._thread is None and not self._ended.is_set()
        if begins:
            self._counts = self._make_counts()  # before the candidate is set: a batch may be offered right after
        with self._lock:  # waiting copies were meant for the previous candidate
            self._candidate, self._queue, self._waiting = candidate, [], 0
        if candidate is None:
            self._wanted.clear()
            return
        self._wanted.set()
        if begins:  # one thread for all candidates: the counters have no lock
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._candidate = None
        self._ended.set()
        self._wanted.set()

    def watch(self, predict: Predict, is_live: Callable[[], bool]) -> Predict:
        """The function `predict`, whose batches are copied here while `is_live()`."""

        def watched(images: Images) -> Probabilities:
            probabilities = predict(images)
            if self._candidate is not None and is_live():
                self._offer(images, probabilities)
            return probabilities

        return watched

    def _offer(self, images: Images, probabilities: Probabilities) -> None:
        with self._lock:
            if self._waiting + len(images) > MAX_WAITING:
                self._counts.shed(len(images))
                return
            self._waiting += len(images)
            self._queue.append((images.copy(), probabilities))  # a copy: the batch's own memory is used again

    def _run(self) -> None:
        yield_to_calls()
        seconds = 0.0
        while not self._ended.wait(max(PAUSE_SECONDS, seconds / MAX_SHARE)):
            self._wanted.wait()
            begin = perf_counter()
            with self._lock:
                candidate, batches = self._candidate, self._queue
                self._queue, self._waiting = [], 0
            if candidate is not None and batches:
                self._compare(candidate, batches)
            seconds = perf_counter() - begin

    def _compare(self, candidate: Runtime, batches: list[tuple[Images, Probabilities]]) -> None:
        live = np.concatenate([probabilities for _, probabilities in batches])
        try:
            other = candidate.predict(np.concatenate([images for images, _ in batches]))
        except Exception:
            log.exception("the shadow failed on %d images", len(live))
            self._counts.failed(len(live))
            return
        agrees = live.argmax(axis=1) == other.argmax(axis=1)
        self._counts.compared(agrees, np.abs(live.max(axis=1) - other.max(axis=1)))
