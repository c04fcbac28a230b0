"""The images of one caller, and how they become parts of batches and one answer again."""

import asyncio
from collections.abc import Hashable
from time import perf_counter
from typing import NamedTuple

import numpy as np

from digits_server.runtimes import Images, Probabilities


class Submission:
    """The images of one caller: those before `taken` are in a batch or answered, the rest wait.

    deadline  a time of the event loop's clock, if any
    future    the caller's answer
    expected  seconds after which they should be answered; 0: not estimated
    """

    __slots__ = ("_answer", "deadline", "expected", "future", "images", "peer", "submitted", "taken")

    def __init__(
        self,
        images: Images,
        deadline: float | None,
        peer: Hashable,
        future: "asyncio.Future[Probabilities]",
        expected: float = 0.0,
    ) -> None:
        self.images = images
        self.deadline = deadline
        self.peer = peer
        self.future = future
        self.expected = expected
        self.submitted = perf_counter()
        self.taken = 0
        self._answer: Probabilities | None = None

    @property
    def waiting(self) -> int:
        """Images that are not in a batch yet."""
        return len(self.images) - self.taken

    @property
    def age(self) -> float:
        """Seconds since it was submitted."""
        return perf_counter() - self.submitted

    def answered(self, start: int, stop: int, rows: Probabilities) -> Probabilities | None:
        """Receives the answer to the images from `start` to `stop`. Returns the whole answer once it is complete."""
        if len(rows) == len(self.images):
            return rows
        if self._answer is None:
            self._answer = np.empty((len(self.images), rows.shape[1]), np.float32)
        self._answer[start:stop] = rows
        return self._answer if stop == len(self.images) else None


class Piece(NamedTuple):
    """The images of a submission from `start` to `stop`: its part of one batch."""

    submission: Submission
    start: int
    stop: int


def join(pieces: list[Piece], memory: Images) -> Images:
    """The images of all pieces as one array, in `memory`; a single piece is not copied."""
    parts = [submission.images[start:stop] for submission, start, stop in pieces]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, out=memory[: sum(map(len, parts))])
