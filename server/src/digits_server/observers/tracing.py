"""Traces of calls with OpenTelemetry: the extra `tracing`. Imported only if tracing is on.

The span of an RPC or an HTTP request is a child of its caller's span (W3C Trace Context). Its children are `queue`,
from the submission to the batch, and `batch`, until the model has answered. `compute` is the model's run on the whole
batch, which may have several callers: it is a child of the first caller's `batch`, and linked with the others.
"""

from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from time import time_ns
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from digits_server.batching.batcher import Batcher
from digits_server.batching.submission import Piece
from digits_server.errors import Status
from digits_server.rpcs.interceptors import WatchedCall
from digits_server.rpcs.rpc import Rpc
from digits_server.runtimes import Images, Probabilities
from digits_server.service.calls import TRACEPARENT, TRACESTATE
from digits_server.web.interceptors import WatchedRequest

EXPORT_SECONDS = 2.0
"""Time for the collector to accept spans. At its end, the server waits no longer than this either."""

OUR_FAULT = frozenset({Status.DEADLINE_EXCEEDED, Status.UNIMPLEMENTED, Status.INTERNAL, Status.UNAVAILABLE})
"""Statuses that make a server's span an error, by OpenTelemetry's conventions for gRPC."""

UNTRACED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Paths of probes and scrapers, which are requested every few seconds and need no trace."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""HTTP methods that appear in spans by name. Any other could be invented by a caller."""

PREDICTING = ContextVar[Span]("PREDICTING", default=INVALID_SPAN)
"""The span of the current task's call. Each call and request has its own task, so it needs no reset."""


class Tracing:
    """An observer that sends a span of each call and each request to `endpoint`, a URL of OTLP over gRPC.

    All other settings (name, sampling, headers, queue) come from OpenTelemetry's own OTEL_ variables.
    """

    def __init__(self, endpoint: str) -> None:
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "digits-server"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=EXPORT_SECONDS)))
        self.tracer = self._provider.get_tracer("digits_server")
        self._propagator = TraceContextTextMapPropagator()

    def began(self, rpc: Rpc, call: WatchedCall) -> None:
        carried = {name: value for name in (TRACEPARENT, TRACESTATE) if (value := call.metadata(name))}
        about = {"rpc.system": "grpc", "rpc.service": rpc.service, "rpc.method": rpc.method}
        self._begin(call, f"{rpc.service}/{rpc.method}", carried, about)

    def ended(self, rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None:
        span: Span = call.span
        span.set_attribute("rpc.grpc.status_code", int(status))
        if status in OUR_FAULT:
            span.set_status(StatusCode.ERROR)
        span.end()
        if span.get_span_context().trace_flags.sampled:
            rpc.metrics.exemplify(seconds, call.trace_id)

    def arrived(self, request: WatchedRequest) -> None:
        if request.path in UNTRACED:
            return
        carried = {name: request.headers.getlist(name) for name in (TRACEPARENT, TRACESTATE)}
        method = request.method if request.method in METHODS else "_OTHER"
        about = {"http.request.method": method, "url.path": request.path}
        self._begin(request, method, carried, about)
        if request.span.get_span_context().trace_flags.sampled:
            request.exemplify()

    def answered(self, request: WatchedRequest, _seconds: float) -> None:
        span: Span | None = request.span
        if span is None:
            return
        if request.route:
            span.set_attribute("http.route", request.route)
            span.update_name(f"{request.method} {request.route}")
        if request.status:
            span.set_attribute("http.response.status_code", request.status)
        if not request.status or request.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def _begin(
        self, asked: WatchedCall | WatchedRequest, name: str, carried: dict[str, Any], about: dict[str, str]
    ) -> None:
        """Starts the span of the current task's call. `carried` has the trace headers of the caller."""
        asked.span = self.tracer.start_span(
            name,
            self._propagator.extract(carried),
            SpanKind.SERVER,
            {**about, "digits.request_id": asked.request_id},
        )
        asked.trace_id = format_trace_id(asked.span.get_span_context().trace_id)
        PREDICTING.set(asked.span)

    def close(self) -> None:
        """Sends the remaining spans, if the collector accepts them in time."""
        self._provider.shutdown()


@dataclass(slots=True)
class _Waiting:
    """One submission: the span of its call, and when it arrived and last left the queue, in nanoseconds since 1970."""

    call: Span
    submitted: int
    left: int = 0


class TracedBatcher(Batcher):
    """A batcher that makes the children of a call's span, if the call is traced."""

    def __init__(self, *arguments: Any, tracer: Tracer, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._tracer = tracer
        self._submissions: dict[int, _Waiting] = {}  # by the id() of their arrays, which live as long as the entries

    async def submit(
        self, images: Images, deadline: float | None = None, peer: Hashable = None, *, patient: bool = False
    ) -> Probabilities:
        """As `Batcher.submit`."""
        call = PREDICTING.get()
        if call is INVALID_SPAN:
            return await super().submit(images, deadline, peer, patient=patient)
        self._submissions[id(images)] = _Waiting(call, time_ns())
        try:
            return await super().submit(images, deadline, peer, patient=patient)
        finally:
            self._submissions.pop(id(images), None)

    def _compute(self, images: Images, pieces: list[Piece] | None) -> tuple[Probabilities | None, float]:
        if pieces is None:  # it was computed at once and was never in the queue
            left = [self._left(images, len(images), first=True)]
        else:
            left = [self._left(submission.images, stop - start, first=start == 0) for submission, start, stop in pieces]
        leaving = [traced for traced in left if traced]
        return self._traced(images, pieces, leaving) if leaving else super()._compute(images, pieces)

    def _traced(
        self, images: Images, pieces: list[Piece] | None, leaving: list[tuple[_Waiting, int]]
    ) -> tuple[Probabilities | None, float]:
        batches = [
            self._tracer.start_span(
                "batch", set_span_in_context(waiting.call), start_time=waiting.left, attributes={"digits.images": count}
            )
            for waiting, count in leaving
        ]
        first, *others = batches
        compute = self._tracer.start_span(
            "compute",
            set_span_in_context(first),
            attributes={"digits.images": len(images)},
            links=[Link(batch.get_span_context()) for batch in others],
        )
        outcome = super()._compute(images, pieces)
        compute.end()
        for batch in others:
            batch.add_link(compute.get_span_context())
        for batch in batches:
            batch.end()
        return outcome

    def _left(self, images: Images, count: int, *, first: bool) -> tuple[_Waiting, int] | None:
        """The submission, some of whose images are in the batch that begins; None if it is not traced."""
        waiting = self._submissions.get(id(images))
        if waiting is None:
            return None
        waiting.left = time_ns()
        if first:
            parent = set_span_in_context(waiting.call)
            self._tracer.start_span("queue", parent, start_time=waiting.submitted).end(waiting.left)
        return waiting, count
