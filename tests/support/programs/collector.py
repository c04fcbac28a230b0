"""An OpenTelemetry collector for tests: receives spans by OTLP over gRPC and keeps them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from support.waiting import until


class Collector(TraceServiceServicer):
    """Listens on `endpoint`, an URL. A context manager."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._services: set[str] = set()
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.stop(None).wait()

    def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: N802, ARG002 - the proto's name
        with self._lock:
            for resource in request.resource_spans:
                self._services |= {
                    item.value.string_value for item in resource.resource.attributes if item.key == "service.name"
                }
                for scope in resource.scope_spans:
                    self._spans += scope.spans
        return ExportTraceServiceResponse()

    @property
    def services(self) -> set[str]:
        with self._lock:
            return set(self._services)

    def trace(self, trace_id: str) -> list[Span]:
        """The spans received so far of a trace, whose id has 32 hexadecimal digits."""
        with self._lock:
            return [span for span in self._spans if span.trace_id.hex() == trace_id]

    def spans(self) -> list[Span]:
        with self._lock:
            return list(self._spans)

    def wait_for(self, trace_id: str, *names: str) -> list[Span]:
        """The spans of the trace, in the order of `names`, when there is exactly one of each."""
        until(lambda: len(self.trace(trace_id)) >= len(names), f"the spans {', '.join(names)}")
        found = {span.name: span for span in self.trace(trace_id)}
        assert sorted(span.name for span in self.trace(trace_id)) == sorted(names)
        return [found[name] for name in names]


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span as Python values."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "") for item in span.attributes}
