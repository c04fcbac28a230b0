"""Predict calls of pixels only, answered in the thread that receives them, batch by batch.

Nearly all calls are of this kind. The calls that wait when a batch has been answered are the next batch: there is no
task, future or callback for a single call. Everything here belongs to the receiving thread; only the choice of the
model is made on the event loop.
"""

import logging
from collections.abc import Callable, Hashable
from itertools import accumulate, repeat
from time import perf_counter

import numpy as np

from digits_server.batching.call_queue import LARGEST_CALL, CallQueue, Waiting
from digits_server.errors import DeadlineExceeded, InferenceFailed, Overloaded, ServingError, Status
from digits_server.observability.direct_counts import Arrivals, DirectCounts
from digits_server.runtimes import Probabilities
from digits_server.service.calls import is_late
from digits_server.service.messages import Reply, pixels_header, reply_to_one, serialise_reply
from digits_server.service.prediction_service import best, best_of_one
from digits_server.serving.served_model import ServedModel

log = logging.getLogger(__name__)

FORMS = {len(header) + 784 * n: (header, n) for n in range(1, LARGEST_CALL + 1) for header in [pixels_header(n)]}
"""For each length of a message: its first bytes if it holds so many images and nothing else."""

Respond = Callable[[int, bytes], object]
"""Sends the reply of a call, by its id."""

Fail = Callable[[int, ServingError], object]
"""Ends a call with an error, by its id."""


class DirectPredictions:
    """Answers calls of pixels only. Made on the event loop, then used by one thread.

    model       the model that answers them now; None: the calls go to the event loop instead
    most_calls  calls that may wait
    """

    def __init__(self, model: Callable[[], ServedModel | None], counts: DirectCounts, most_calls: int) -> None:
        self._current = model
        self._model = model()
        self._most_images = 0
        """Of one batch: with a slow model, a call of more images goes to the event loop."""
        self._counts = counts
        self._queue = CallQueue(most_calls)
        self._last_batch = (0, 0.0)
        """Images of the previous batch, if calls have waited since then, and when it began, in seconds."""

    @property
    def calls_wait(self) -> bool:
        """Whether a batch can be computed."""
        return bool(self._queue.calls)

    @property
    def waiting(self) -> int:
        """Images that wait."""
        return self._queue.images

    @property
    def _version(self) -> int:
        """The version that the calls are for: without a model, no call is taken."""
        return self._model.version if self._model else 0

    def rest(self) -> None:
        """No call waits, so the next call does not wait for a batch."""
        self._last_batch = (0, 0.0)

    def may_take(self) -> bool:
        """Whether calls are accepted now. To be called once for each set of calls that has arrived."""
        current = self._current()
        self._model = current or self._model  # calls that already wait are answered by the previous model
        self._most_images = self._model.direct_images if self._model else 0
        return current is not None

    def take(self, call: int, message: bytes, peer: Hashable, left: float | None, now: float) -> bool:
        """Accepts a call that arrived `now` and has `left` seconds until its deadline; False if it is of another kind.

        Raises Overloaded.
        """
        form = FORMS.get(len(message))
        if form is None or not message.startswith(form[0]):
            return False
        header, images = form
        if images > self._most_images:
            return False
        deadline = None if left is None else now + left
        try:
            self._queue.add(Waiting(call, message[len(header) :], images, now, deadline), peer)
        except Overloaded as error:
            self._counts.rejected(error.status, error.reason, self._version, {now: 1}, now)
            raise
        return True

    def cancel(self, call: int) -> None:
        """The caller has left, or its deadline has passed. No effect on a call that does not wait."""
        self._queue.cancel(call)

    def answer(self, respond: Respond, fail: Fail) -> None:
        """Computes one batch of the calls that wait, and answers them."""
        begin = perf_counter()
        images, began = self._last_batch
        if images:
            self._queue.took(images, begin - began)
        batch = self._queue.take(begin, self._most_images)
        if batch.late:
            self._fail(batch.late, DeadlineExceeded("the deadline passed while the images waited for the model"), fail)
        for waiting in batch.left:
            self._count_left(waiting, begin)
        images = 0
        if batch.calls and self._model:
            images = self._compute(self._model, batch.calls, begin, respond, fail)
        self._last_batch = (images, begin)

    def _compute(self, model: ServedModel, calls: list[Waiting], begin: float, respond: Respond, fail: Fail) -> int:
        """Answers `calls`; returns how many images they had."""
        images = np.frombuffer(b"".join([waiting.pixels for waiting in calls]), np.uint8).reshape(-1, 28, 28)
        try:
            probabilities = model.runtime.predict(images)
        except Exception:
            log.exception("the model failed on a batch of %d images", len(images))
            self._fail(calls, InferenceFailed("the model failed on these images"), fail)
            return len(images)
        arrivals = _arrivals(calls)
        now = perf_counter()
        self._counts.ran(len(images), arrivals, begin, now)
        replies = self._replies(calls, model.version, probabilities)
        # Before the answer is sent, so that its caller finds it in the metrics.
        self._counts.answered(model.version, arrivals, now)
        for waiting, reply in zip(calls, replies, strict=True):
            respond(waiting.call, reply)
        return len(images)

    def _replies(self, calls: list[Waiting], version: int, probabilities: Probabilities) -> list[bytes]:
        """The reply to each call. Most calls have one image; their replies are made without an object for each."""
        if len(probabilities) == 1:
            digit, confidence = best_of_one(probabilities)
            self._counts.predicted_one(version, digit, confidence)
            return [reply_to_one(digit, confidence, version)]
        digits, confidences = best(probabilities)
        self._counts.predicted(version, digits, confidences)
        if len(calls) == len(digits):
            return list(map(reply_to_one, digits.tolist(), confidences.tolist(), repeat(version)))
        ends = list(accumulate(waiting.images for waiting in calls))
        parts = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
        return [serialise_reply(Reply(digits[part], confidences[part], version)) for part in parts]

    def _fail(self, calls: list[Waiting], error: ServingError, fail: Fail) -> None:
        self._counts.rejected(error.status, error.reason, self._version, _arrivals(calls), perf_counter())
        for waiting in calls:
            fail(waiting.call, error)

    def _count_left(self, waiting: Waiting, now: float) -> None:
        """Counts a call that the transport has ended already: its caller left, or its deadline passed."""
        late = is_late(waiting.deadline, now)
        status, reason = (Status.DEADLINE_EXCEEDED, "deadline") if late else (Status.CANCELLED, "cancelled")
        self._counts.rejected(status, reason, self._version, {waiting.arrived: 1}, now)


def _arrivals(calls: list[Waiting]) -> Arrivals:
    """The number of `calls` by time of arrival; calls that arrived together have the same time."""
    arrivals: dict[float, int] = {}
    for waiting in calls:
        arrivals[waiting.arrived] = arrivals.get(waiting.arrived, 0) + 1
    return arrivals
