"""The ledger in which the calls of a load that does not wait are entered, and the statuses it has."""

from math import nan

import numpy as np
from numpy.typing import NDArray

OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 0, 1, 4, 8, 13, 14


class Ledger:
    """The outcome of each call; `due` is when it should be sent. Times are seconds since the beginning."""

    def __init__(self, due: list[float]) -> None:
        self.due = due
        self.left, self.ended, self.pushback = ([nan] * len(due) for _ in range(3))
        self.status = [INTERNAL] * len(due)

    def rows(self) -> NDArray[np.float64]:
        """float64[calls, 5]: due, late, latency, status, push-back in ms."""
        due = np.array(self.due)
        columns = [due, np.array(self.left) - due, np.array(self.ended) - due, self.status, self.pushback]
        return np.array(columns, np.float64).T
