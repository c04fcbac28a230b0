"""Every Prometheus object of the server.

Labels come from fixed sets, so that callers cannot grow the series.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector

from digits_server.errors import Status
from digits_server.observability.collectors import Counter, Histogram
from digits_server.observability.failures import Failures
from digits_server.observability.http_metrics import HttpMetrics
from digits_server.observability.prediction_counts import PredictionCounts, UnlikeCounts
from digits_server.observability.rejection_counts import Rejections

RPC_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STEP_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
BATCH_IMAGES = tuple(2**power for power in range(13))

LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

DIFFERENCES = (0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")
REJECTION_CAUSES = (
    *("manifest", "missing", "path", "read", "size", "hash", "signature", "load", "operator", "golden"),
    *("memory", "time", "crash", "internal"),
)
"""The causes of ModelRejected that are on the page from the start."""

UNKNOWN_METHOD, UNREAD = "unknown_method", "unread"
"""Why gRPC itself refuses a call: the server has no such method, or the message was not read (it is too large or
compressed, or the caller left before its end)."""


class RpcMetrics:
    """The counters of one method, with the names and labels of the gRPC ecosystem's own middleware."""

    def __init__(self, metrics: "Metrics", kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self.started = metrics.rpc_started.labels(*labels)
        self._ok = metrics.rpc_handled.labels(*labels, Status.OK.name)
        self._seconds = metrics.rpc_seconds.labels(*labels)
        self._handled = {int(status): metrics.rpc_handled.labels(*labels, status.name) for status in Status}
        self._other = metrics.rpc_handled.labels(*labels, "UNKNOWN")
        self.rejections, self.failures = metrics.rejections, metrics.failures

    def succeeded(self, seconds: float) -> None:
        """One call has been answered after `seconds`."""
        self._ok.value += 1
        self._seconds.observe(seconds)

    def handled(self, code: int, seconds: float) -> None:
        """One call has ended with the gRPC status `code` after `seconds`."""
        self._handled.get(code, self._other).inc()
        self._seconds.observe(seconds)

    def exemplify(self, seconds: float, trace_id: str) -> None:
        """Names a trace for the bucket of calls that took about `seconds`."""
        self._seconds.exemplify(seconds, {"trace_id": trace_id})


class ShadowCounts:
    """How often the shadow agrees with the answer, and by how much its confidence differs, for each image."""

    def __init__(self, registry: CollectorRegistry) -> None:
        agreement = Counter(
            registry,
            "digits_shadow_agreement",
            "Images for which the shadow gives the same digit as the answer, or another.",
            ("agrees",),
        )
        self._agree, self._differ = agreement.labels("true"), agreement.labels("false")
        self._difference = Histogram(
            registry,
            "digits_shadow_confidence_difference",
            "Absolute difference between the confidence of the shadow and that of the answer.",
            DIFFERENCES,
        ).labels()
        self._shed = Counter(
            registry, "digits_shadow_shed", "Images that the shadow did not score, because it was busy."
        ).labels()
        self._failed = Counter(registry, "digits_shadow_failures", "Images that the shadow failed to score.").labels()

    def compared(self, agrees: NDArray[np.bool_], differences: NDArray[np.float32]) -> None:
        """N images were scored."""
        count = int(agrees.sum())
        self._agree.value += count
        self._differ.value += len(agrees) - count
        self._difference.observe_all(differences)

    def shed(self, images: int) -> None:
        self._shed.value += images

    def failed(self, images: int) -> None:
        self._failed.value += images


class Metrics:
    """All metrics, in a separate registry. Also the observer of the batchers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        self.rpc_started = Counter(registry, "grpc_server_started", "RPCs started.", RPC_LABELS)
        self.rpc_handled = Counter(
            registry, "grpc_server_handled", "RPCs ended, by status.", (*RPC_LABELS, "grpc_code")
        )
        self.rpc_seconds = Histogram(
            registry,
            "grpc_server_handling_seconds",
            "Seconds from the start of an RPC to its end.",
            RPC_SECONDS,
            RPC_LABELS,
        )
        self.http = HttpMetrics(registry)
        self.predictions = PredictionCounts(registry)
        self.unlike = UnlikeCounts(registry)
        self.batch_size = Histogram(registry, "digits_batch_size", "Images in a batch.", BATCH_IMAGES)
        self.queue_seconds = Histogram(
            registry, "digits_queue_seconds", "Seconds a request waited for the model.", STEP_SECONDS
        )
        self.inference_seconds = Histogram(
            registry, "digits_inference_seconds", "Seconds that the model computed a batch.", STEP_SECONDS
        )
        self._batch_size = self.batch_size.labels()
        self._queue_seconds = self.queue_seconds.labels()
        self._inference_seconds = self.inference_seconds.labels()
        self.loop_lag = Histogram(
            registry,
            "digits_event_loop_lag_seconds",
            "Seconds by which the event loop was late, measured 40 times a second.",
            LAG_SECONDS,
        ).labels()
        self._queue_images = Gauge(
            "digits_queue_images", "Images waiting for a model, in the longest queue.", registry=registry
        )
        self.rejections = Rejections(registry)
        self.failures = Failures()
        refused = Counter(
            registry, "digits_grpc_refused", "Calls that gRPC refused before a method began, by reason.", ("reason",)
        )
        self._refused = {reason: refused.labels(reason) for reason in (UNKNOWN_METHOD, UNREAD)}
        self._model_info = Gauge(
            "digits_model_info",
            "1 for the current version.",
            ("model_version", "runtime", "network", "sha256"),
            registry=registry,
        )
        self.model_pinned = Gauge(
            "digits_model_pinned_version", "The pinned version; 0: no version is pinned.", registry=registry
        )
        self.model_load_seconds = Gauge(
            "digits_model_load_seconds",
            "Seconds it took to verify, load and warm up the current version.",
            registry=registry,
        )
        self.reload_failures = Counter(
            registry,
            "digits_reload_failures",
            "Failed attempts to reload changed files, by kind of file.",
            ("files",),
        )
        self.model_load_failures = Counter(
            registry, "digits_model_load_failures", "Versions rejected, by reason.", ("reason",)
        )
        for cause in REJECTION_CAUSES:
            self.model_load_failures.labels(cause)  # starts at 0, so that the first failure is an increase
        self._queue_limit = Gauge(
            "digits_queue_limit_images",
            "Images that may wait in one queue; further ones are rejected.",
            registry=registry,
        )
        self._training_shares = Gauge(
            "digits_training_label_share",
            "Share of a digit in the training data of the current version, if its manifest says so.",
            ("digit",),
            registry=registry,
        )

    def rpc(self, kind: str, service: str, method: str) -> RpcMetrics:
        """The counters of one method; `kind` is "unary", "client_stream", "server_stream" or "bidi_stream"."""
        return RpcMetrics(self, kind, service, method)

    def grpc_refused(self, reason: str) -> None:
        """Counts a call that gRPC itself refused, for UNKNOWN_METHOD or UNREAD."""
        self._refused[reason].inc()

    def serving(self, version: int, runtime: str, network: str, sha256: str) -> None:
        """Names the current version: the only series of `digits_model_info`."""
        self._model_info.clear()
        self._model_info.labels(str(version), runtime, network, sha256).set(1)

    def trained_on(self, label_counts: Sequence[int]) -> None:
        """Shows the training images of each digit of the current version: ten counts, or an empty list."""
        self._training_shares.clear()
        for digit, count in enumerate(label_counts):
            self._training_shares.labels(str(digit)).set(count / max(1, sum(label_counts)))

    def shadow(self) -> ShadowCounts:
        """The counts of a shadow; they are on the page from now on."""
        return ShadowCounts(self.registry)

    def watch_queue(self, waiting: Callable[[], int], limit: int) -> None:
        """At each scrape calls `waiting`, which returns the images in the longest queue; a queue may hold `limit`."""
        self._queue_images.set_function(waiting)
        self._queue_limit.set(limit)

    def watch_certificate(self, expires: Callable[[], float]) -> None:
        """At each scrape calls `expires`, which returns the Unix time in seconds at which the certificate expires."""
        name, text = "digits_tls_certificate_expiry_seconds", "Unix time at which the server's certificate expires."
        Gauge(name, text, registry=self.registry).set_function(expires)

    def waited(self, seconds: float) -> None:
        self._queue_seconds.observe(seconds)

    def ran(self, images: int, seconds: float) -> None:
        self._batch_size.observe(images)
        self._inference_seconds.observe(seconds)
