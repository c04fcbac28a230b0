"""Callers of one Digits client that call without a pause, check every answer and record every failure."""

from time import monotonic

import numpy as np
from numpy.typing import NDArray

from digits_client import Client, DeadlineExceeded, DigitsError
from support.calls.callers import Callers


class ClientLoad(Callers):
    """Threads with one client. Outcomes are "OK", "wrong", or the name of an error.

    images   uint8[N, 28, 28], sent one by one
    timeout  seconds of each call, retries included
    """

    def __init__(self, client: Client, images: NDArray[np.uint8], callers: int, timeout: float) -> None:
        self._client, self._images, self._timeout = client, images, timeout
        self._digits = client.predict_batch(images).digits
        super().__init__(callers)
        self.slowest = 0.0
        """Seconds of the slowest call."""
        self.late: list[tuple[float, float]] = []
        """When each call that missed its deadline began and ended, in seconds of `time.monotonic`."""

    def _call(self, place: int) -> None:
        while not self._stopping.is_set():
            place = (place + 1) % len(self._images)
            begun = monotonic()
            try:
                right = self._client.predict(self._images[place], timeout=self._timeout).digit == self._digits[place]
                outcome = "OK" if right else "wrong"
            except DigitsError as error:
                outcome = type(error).__name__
                if isinstance(error, DeadlineExceeded):
                    self.late.append((begun, monotonic()))
            seconds = monotonic() - begun
            with self._noting:
                self._outcomes[outcome] += 1
                self.slowest = max(self.slowest, seconds)
