"""Pauses of this process: the system gave it no processor, or another thread kept Python's lock."""

import threading
from time import monotonic, sleep
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.002
PAUSE_SECONDS = 0.02


class Pauses:
    """Notes, until the end of the context, each time in which a thread that only sleeps could not run on."""

    def __init__(self) -> None:
        self._pauses: list[tuple[float, float]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()

    def within(self, begin: float, end: float) -> bool:
        """Whether a pause of PAUSE_SECONDS and more overlaps this time of `time.monotonic`."""
        return any(begin < until and since < end for since, until in self._pauses)

    def _run(self) -> None:
        last = monotonic()
        while not self._stopping.is_set():
            sleep(LOOK_SECONDS)
            now = monotonic()
            if now - last > PAUSE_SECONDS:
                self._pauses.append((last, now))
            last = now
