"""Counts of predictions, in all and by model version. Several threads count; the page shows the sum."""

from collections import defaultdict
from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from digits_server.observability.collectors import Buckets, Counter, Histogram
from digits_server.observability.version_counts import VersionCounts

CONFIDENCES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

FEW = 48
"""Up to this many images, counting one by one is faster than an array."""

DEPARTED_VERSIONS = 8
"""How many versions that no longer answer stay on the page: the newest of them."""


class PredictionPart:
    """The predictions of each version, and the confidences of all, as one thread counts them."""

    def __init__(self, confidences: Buckets) -> None:
        self.versions: defaultdict[int, VersionCounts] = defaultdict(VersionCounts)
        self._confidences = confidences

    def of(self, version: int) -> VersionCounts:
        """The counts of this version, which is on the page from now on."""
        return self.versions[version]

    def add(self, version: int, digits: NDArray[np.uint8], confidences: NDArray[np.float32]) -> None:
        """Counts N answers: digits from 0 to 9, confidences from 0 to 1."""
        counts = self.versions[version]
        if len(digits) <= FEW:
            few = confidences.tolist()
            for digit in digits.tolist():
                counts.one_by_one[digit] += 1
            for confidence in few:
                self._confidences.observe(confidence)
            counts.confidence += sum(few)
            return
        counts.many += np.bincount(digits, minlength=10)
        counts.confidence += float(confidences.sum(dtype=np.float64))
        self._confidences.observe_all(confidences)

    def add_one(self, version: int, digit: int, confidence: float) -> None:
        """Counts the answer to a single image."""
        counts = self.versions[version]
        counts.one_by_one[digit] += 1
        counts.confidence += confidence
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
                part.versions.pop(version, None)

    def collect(self) -> Iterable[Metric]:
        by_version = ("model_version",)
        predictions = CounterMetricFamily("digits_predictions", "Images answered.", labels=(*by_version, "digit"))
        confidences = SummaryMetricFamily(
            "digits_version_confidence",
            "Sum of the probabilities of the predicted digits, and images answered, by version.",
            labels=by_version,
        )
        requests = SummaryMetricFamily(
            "digits_version_request_seconds",
            "Sum of the seconds from a request's pixels to its answer, and requests answered, by version.",
            labels=by_version,
        )
        failures = CounterMetricFamily(
            "digits_version_failures",
            "Requests that a version did not answer, by reason.",
            labels=(*by_version, "reason"),
        )
        for version, counts in self._totals().items():
            name, digits = str(version), counts.digits()
            for digit, count in enumerate(digits):
                predictions.add_metric((name, str(digit)), count)
            confidences.add_metric((name,), sum(digits), counts.confidence)
            requests.add_metric((name,), counts.requests, counts.seconds)
            for reason, count in counts.failures.items():
                failures.add_metric((name, reason), count)
        yield from (predictions, confidences, requests, failures)

    def _totals(self) -> dict[int, VersionCounts]:
        """The counts of each version, in the order in which versions began to serve."""
        totals: dict[int, VersionCounts] = {}
        for part in self._parts:
            for version, counts in list(part.versions.items()):
                totals.setdefault(version, VersionCounts()).add(counts)
        return totals


class UnlikeCounts:
    """Images for which the score unlike was requested.

    A score above 1 means that the image does not look like a digit.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        scores = Counter(
            registry,
            "digits_unlike_scores",
            "Images for which the score unlike was requested, by whether the score is above 1.",
            ("above_1",),
        )
        self._above, self._within = scores.labels("true"), scores.labels("false")

    def add(self, scores: NDArray[np.float32]) -> None:
        above = int((scores > 1).sum())
        self._above.value += above
        self._within.value += len(scores) - above
