"""Threads that never stop calling."""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from support.waiting import until


class Callers:
    """Threads that call from entry until exit, each with one call in flight at a time. Counts what calls came to."""

    def __init__(self, callers: int) -> None:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(callers)]
        self._noting = threading.Lock()
        self._outcomes: Counter[str] = Counter()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def outcomes(self) -> Counter[str]:
        """How many calls came to what, so far."""
        with self._noting:
            return self._outcomes.copy()

    def wait_for_more(self, calls: int) -> None:
        """Returns when this many more calls have ended."""
        enough = self.outcomes.total() + calls
        until(lambda: self.outcomes.total() >= enough, f"{calls} more calls under load", 120)

    def _call(self, place: int) -> None:
        """The work of thread number `place`: it calls, and records each outcome, until `_stopping` is set."""
        raise NotImplementedError
