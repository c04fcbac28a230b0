"""Callers of one Digits client that never stop calling, check every answer and take down every failure."""

import threading
from collections import Counter
from time import monotonic
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from support.waiting import until

from digits_client import Client, DigitsError


class ClientLoad:
    """`callers` threads, each with one call in flight at a time, until the end of the context.

    images   uint8[N, 28, 28], sent one by one
    timeout  seconds of each call, retries included
    """

    def __init__(self, client: Client, images: NDArray[np.uint8], callers: int, timeout: float) -> None:
        self._client, self._images, self._timeout = client, images, timeout
        self._digits = client.predict_batch(images).digits
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(callers)]
        self._noting = threading.Lock()
        self.outcomes: Counter[str] = Counter()
        """Calls by "OK", "wrong", or the name of their error."""
        self.slowest = 0.0
        """Seconds of the slowest call."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, calls: int) -> None:
        """Returns when this many more calls have come to an end."""
        enough = self.outcomes.total() + calls
        until(lambda: self.outcomes.total() >= enough, f"{calls} more calls under load", 120)

    def _call(self, place: int) -> None:
        while not self._stopping.is_set():
            place = (place + 1) % len(self._images)
            begun = monotonic()
            try:
                right = self._client.predict(self._images[place], timeout=self._timeout).digit == self._digits[place]
                outcome = "OK" if right else "wrong"
            except DigitsError as error:
                outcome = type(error).__name__
            seconds = monotonic() - begun
            with self._noting:
                self.outcomes[outcome] += 1
                self.slowest = max(self.slowest, seconds)
