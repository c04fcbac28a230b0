"""Counts of one version of the model: answers, confidences, requests, their seconds, and failures."""

import numpy as np

VERSION_FAILURES = (
    *("inference_failed", "internal", "deadline", "cancelled"),
    *("overloaded", "unavailable", "too_large"),
)
"""Why a version did not answer a request: these reasons are on the page as soon as the version serves."""


class VersionCounts:
    """The counts of one version, as one thread counts them.

    one_by_one, many  images by the digit answered. Single answers are counted in a list, many at once in an array: each
                      is faster for its case
    confidence        sum of the confidences of all answers, each from 0 to 1
    requests          requests answered
    seconds           sum of their times, from the moment at which a request's pixels are ready to its answer
    failures          requests not answered, by reason
    """

    __slots__ = ("confidence", "failures", "many", "one_by_one", "requests", "seconds")

    def __init__(self) -> None:
        self.one_by_one = [0] * 10
        self.many = np.zeros(10, np.int64)
        self.confidence = 0.0
        self.requests = 0
        self.seconds = 0.0
        self.failures = dict.fromkeys(VERSION_FAILURES, 0)

    def answered(self, requests: int, seconds: float) -> None:
        """Counts answered requests; `seconds` is the sum of their times."""
        self.requests += requests
        self.seconds += seconds

    def failed(self, reason: str, requests: int = 1) -> None:
        """Counts requests that were not answered. `reason` is that of a ServingError."""
        self.failures[reason] = self.failures.get(reason, 0) + requests

    def digits(self) -> list[int]:
        """How often each digit was answered."""
        return [one + many for one, many in zip(self.one_by_one, self.many.tolist(), strict=True)]

    def add(self, other: "VersionCounts") -> None:
        """Adds the counts of `other`, which another thread may go on counting."""
        self.many += np.array(other.digits())
        self.confidence += other.confidence
        self.answered(other.requests, other.seconds)
        for reason, requests in list(other.failures.items()):
            self.failed(reason, requests)
