"""The counts of the receiving thread, for the predictions that it makes itself."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from digits_server.errors import Status
from digits_server.observability.metrics import Metrics

LABELS = ("unary", "digits.v1.PredictionService", "Predict")

Arrivals = Mapping[float, int]
"""Calls by their time of arrival. Calls that are received together have the same time."""


class DirectCounts:
    """Parts of the server's metrics that belong to one thread. Times are in seconds, all from the same clock."""

    def __init__(self, metrics: Metrics) -> None:
        self.rejections = metrics.rejections.part()
        self._started = metrics.rpc_started.part(*LABELS)
        self._handled = {status: metrics.rpc_handled.part(*LABELS, status.name) for status in Status}
        self._seconds = metrics.rpc_seconds.part(*LABELS)
        self._predictions = metrics.predictions.part()
        self._batch_size = metrics.batch_size.part()
        self._queue_seconds = metrics.queue_seconds.part()
        self._inference_seconds = metrics.inference_seconds.part()

    def ran(self, images: int, arrivals: Arrivals, began: float, ended: float) -> None:
        """One batch went through the model."""
        self._batch_size.observe(images)
        self._inference_seconds.observe(ended - began)
        for arrived, calls in arrivals.items():
            self._queue_seconds.observe_times(began - arrived, calls)

    def predicted(self, version: int, digits: NDArray[np.uint8], confidences: NDArray[np.float32]) -> None:
        """The answers to N images: uint8[N], float32[N]."""
        self._predictions.add(version, digits, confidences)

    def predicted_one(self, version: int, digit: int, confidence: float) -> None:
        """The answer to a single image."""
        self._predictions.add_one(version, digit, confidence)

    def answered(self, version: int, arrivals: Arrivals, now: float) -> None:
        """Calls have been answered by this version."""
        self._predictions.of(version).answered(*self._ended(Status.OK, arrivals, now))

    def rejected(self, status: Status, reason: str, version: int, arrivals: Arrivals, now: float) -> None:
        """Calls to this version have ended without an answer, for this reason."""
        calls, _ = self._ended(status, arrivals, now)
        self.rejections.add(reason, calls)
        self._predictions.of(version).failed(reason, calls)

    def _ended(self, status: Status, arrivals: Arrivals, now: float) -> tuple[int, float]:
        """Counts calls that have ended with this status. Returns how many, and the sum of their seconds."""
        total, seconds = 0, 0.0
        for arrived, calls in arrivals.items():
            total += calls
            seconds += (now - arrived) * calls
            self._seconds.observe_times(now - arrived, calls)
        self._started.value += total
        self._handled[status].value += total
        return total, seconds
