"""Predictions by version and digit, and their confidences: counted by several threads, shown as one sum."""

from collections import defaultdict
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from digits_server.observability.collectors import Buckets, Counter, Histogram

CONFIDENCES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

FEW = 48
"""Up to so many images are counted faster one by one than as an array."""

DEPARTED_VERSIONS = 8
"""How many versions that no longer answer stay on the page: the newest of them."""


class DigitCounts:
    """How often each digit was answered. Single answers are counted in a list, many at once in an array: faster so."""

    __slots__ = ("many", "one_by_one")

    def __init__(self) -> None:
        self.one_by_one = [0] * 10
        self.many = np.zeros(10, np.int64)

    def totals(self) -> list[int]:
        return [one + many for one, many in zip(self.one_by_one, self.many.tolist(), strict=True)]


class PredictionPart:
    """Predictions by model version and digit, and their confidences, as one thread counts them."""

    def __init__(self, confidences: Buckets) -> None:
        self.digits: defaultdict[int, DigitCounts] = defaultdict(DigitCounts)
        self._confidences = confidences

    def add(self, version: int, digits: NDArray[np.uint8], confidences: NDArray[np.float32]) -> None:
        """Counts N answers: digits from 0 to 9, confidences from 0 to 1."""
        if len(digits) <= FEW:
            for digit, confidence in zip(digits.tolist(), confidences.tolist(), strict=True):
                self.add_one(version, digit, confidence)
            return
        self.digits[version].many += np.bincount(digits, minlength=10)
        self._confidences.observe_all(confidences)

    def add_one(self, version: int, digit: int, confidence: float) -> None:
        """Counts the answer to a single image."""
        self.digits[version].one_by_one[digit] += 1
        self._confidences.observe(confidence)


class PredictionCounts(PredictionPart, Collector):
    """The sum of all threads' counts, as the page shows it. The object itself is the part of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histogram = Histogram(
            registry,
            "digits_prediction_confidence",
            "Probability of the predicted digit, one observation per image.",
            CONFIDENCES,
        )
        self._parts: list[PredictionPart] = [self]
        super().__init__(self._histogram.labels())
        registry.register(self)

    def part(self) -> PredictionPart:
        """A further part, for another thread."""
        part = PredictionPart(self._histogram.part())
        self._parts.append(part)
        return part

    def keep(self, versions: Collection[int]) -> None:
        """Removes older versions from the page, but keeps the last few: Prometheus sees their series end."""
        departed = [version for version in self._totals() if version not in versions]
        for version in departed[:-DEPARTED_VERSIONS]:
            for part in self._parts:
                part.digits.pop(version, None)

    def collect(self) -> Iterable[Metric]:
        predictions = CounterMetricFamily("digits_predictions", "Images answered.", labels=("model_version", "digit"))
        for version, totals in self._totals().items():
            for digit, count in enumerate(totals):
                predictions.add_metric((str(version), str(digit)), count)
        yield predictions

    def _totals(self) -> dict[int, list[int]]:
        """Counts of each digit by version, in the order in which versions began to answer."""
        totals: dict[int, list[int]] = {}
        for part in self._parts:
            for version, counts in list(part.digits.items()):
                before = totals.get(version, [0] * 10)
                totals[version] = [one + other for one, other in zip(before, counts.totals(), strict=True)]
        return totals


class UnlikeCounts:
    """How many of the images whose score was asked for do not look like digits: their score is above 1."""

    def __init__(self, registry: CollectorRegistry) -> None:
        scores = Counter(
            registry,
            "digits_unlike_scores",
            "Images whose score of how unlike the training images they are was asked for, by whether it is above 1.",
            ("above_1",),
        )
        self._above, self._within = scores.labels("true"), scores.labels("false")

    def add(self, scores: NDArray[np.float32]) -> None:
        above = int((scores > 1).sum())
        self._above.value += above
        self._within.value += len(scores) - above
