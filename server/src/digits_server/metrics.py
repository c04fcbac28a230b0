"""Every Prometheus object of the server.

Counts of images are plain lists that are turned into samples when scraped: a reply of a thousand images costs one
`bincount`, not a thousand increments. Labels come from fixed sets, so that callers cannot grow the series.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from digits_server.errors import Status

disable_created_metrics()  # type: ignore[no-untyped-call] # a time stamp beside every series doubles the page

RPC_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STEP_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
BATCH_IMAGES = tuple(2**power for power in range(13))
CONFIDENCES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")
REJECTIONS = (
    *("invalid", "too_large", "not_found", "deadline", "overloaded", "unavailable"),
    *("cancelled", "inference_failed", "internal"),
)


class PredictionCounts(Collector):
    """Predictions by model version and digit, and the histogram of their confidence."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._digits: dict[int, list[int]] = {}
        self._buckets = [0] * (len(CONFIDENCES) + 1)
        self._sum = 0.0
        registry.register(self)

    def add(self, version: int, digits: list[int], confidences: list[float]) -> None:
        """Counts the answers of one reply: N digits from 0 to 9, N confidences from 0 to 1."""
        counts = self._digits.setdefault(version, [0] * 10)
        if len(digits) == 1:
            counts[digits[0]] += 1
            self._buckets[bisect_left(CONFIDENCES, confidences[0])] += 1
            self._sum += confidences[0]
        else:
            _add(counts, np.array(digits))
            _add(self._buckets, np.searchsorted(CONFIDENCES, confidences))
            self._sum += math.fsum(confidences)

    def collect(self) -> Iterable[Metric]:
        predictions = CounterMetricFamily("digits_predictions", "Images answered.", labels=("model_version", "digit"))
        for version, counts in self._digits.items():
            for digit, count in enumerate(counts):
                predictions.add_metric((str(version), str(digit)), count)
        yield predictions
        confidence = HistogramMetricFamily(
            "digits_prediction_confidence", "Probability of the predicted digit, an observation an image."
        )
        bounds = [*map(str, CONFIDENCES), "+Inf"]
        confidence.add_metric((), list(zip(bounds, accumulate(self._buckets), strict=True)), self._sum)
        yield confidence


def _add(counts: list[int], places: NDArray[np.integer]) -> None:
    """Adds one to `counts` at each of `places`."""
    for place, count in enumerate(np.bincount(places).tolist()):
        counts[place] += count


class RpcMetrics:
    """The counters of one method, with the names and labels of the gRPC ecosystem's own middleware."""

    def __init__(self, metrics: "Metrics", kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self.started = metrics.rpc_started.labels(*labels)
        self._seconds = metrics.rpc_seconds.labels(*labels)
        self._handled = {status: metrics.rpc_handled.labels(*labels, status.name) for status in Status}
        self._other = metrics.rpc_handled.labels(*labels, "UNKNOWN")

    def handled(self, code: int, seconds: float) -> None:
        """One call has ended with the gRPC status `code` after `seconds`."""
        try:
            self._handled[Status(code)].inc()
        except ValueError:
            self._other.inc()
        self._seconds.observe(seconds)


class Metrics:
    """All of them, on a registry of their own. Also the observer of the batchers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        self.rpc_started = Counter("grpc_server_started", "RPCs started.", RPC_LABELS, registry=registry)
        self.rpc_handled = Counter(
            "grpc_server_handled", "RPCs ended, by status.", (*RPC_LABELS, "grpc_code"), registry=registry
        )
        self.rpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds from start to end.",
            RPC_LABELS,
            registry=registry,
            buckets=RPC_SECONDS,
        )
        self.predictions = PredictionCounts(registry)
        self._batch_size = Histogram("digits_batch_size", "Images of a batch.", registry=registry, buckets=BATCH_IMAGES)
        self._queue_seconds = Histogram(
            "digits_queue_seconds", "Seconds a request waited for the model.", registry=registry, buckets=STEP_SECONDS
        )
        self._inference_seconds = Histogram(
            "digits_inference_seconds", "Seconds of a batch in the model.", registry=registry, buckets=STEP_SECONDS
        )
        self._queue_images = Gauge("digits_queue_images", "Images that wait for the model.", registry=registry)
        rejected = Counter("digits_rejected", "Requests not answered, by reason.", ("reason",), registry=registry)
        self._rejected = {reason: rejected.labels(reason) for reason in REJECTIONS}
        self._model_info = Gauge(
            "digits_model_info",
            "1 for the version that serves.",
            ("model_version", "runtime", "network", "sha256"),
            registry=registry,
        )
        self.model_load_seconds = Gauge(
            "digits_model_load_seconds",
            "Seconds to verify, load and warm up the version that serves.",
            registry=registry,
        )
        self.model_load_failures = Counter(
            "digits_model_load_failures", "Versions rejected, by reason.", ("reason",), registry=registry
        )

    def rpc(self, kind: str, service: str, method: str) -> RpcMetrics:
        """The counters of one method; `kind` is "unary", "client_stream", "server_stream" or "bidi_stream"."""
        return RpcMetrics(self, kind, service, method)

    def rejected(self, reason: str) -> None:
        self._rejected[reason].inc()

    def serving(self, version: int, runtime: str, network: str, sha256: str) -> None:
        """Says which version serves: the one series of `digits_model_info`."""
        self._model_info.clear()
        self._model_info.labels(str(version), runtime, network, sha256).set(1)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Has `waiting` asked for the images in the queue whenever the metrics are scraped."""
        self._queue_images.set_function(waiting)

    def waited(self, seconds: float) -> None:
        self._queue_seconds.observe(seconds)

    def ran(self, images: int, seconds: float) -> None:
        self._batch_size.observe(images)
        self._inference_seconds.observe(seconds)
