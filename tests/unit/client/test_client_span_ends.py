"""Every RPC that fails before or outside gRPC still ends its span, as an error."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from digits_client._connection import tracing

PATH = "/digits.v1.PredictionService/Predict"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


class Failing:
    """A method of gRPC on a channel that was closed."""

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ValueError("Cannot invoke RPC on closed channel!")

    future = __call__


def ended(spans: InMemorySpanExporter) -> tuple[StatusCode, Any]:
    (span,) = spans.get_finished_spans()
    assert span.attributes
    return span.status.status_code, span.attributes["rpc.grpc.status_code"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: tracing._ThreadMethod(Failing(), PATH)(b"", timeout=1.0),
        lambda: tracing._ThreadMethod(Failing(), PATH).future(b"", timeout=1.0),
        lambda: tracing._StreamMethod(Failing(), PATH)(iter(())),
    ],
)
def test_an_rpc_on_a_closed_channel_ends_its_span(spans: InMemorySpanExporter, call: Any) -> None:
    with pytest.raises(ValueError, match="closed channel"):
        call()
    assert ended(spans) == (StatusCode.ERROR, grpc.StatusCode.CANCELLED.value[0])


async def test_a_task_on_a_closed_channel_ends_its_span(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="closed channel"):
        await tracing._TaskMethod(Failing(), PATH)(b"", timeout=1.0)
    assert ended(spans) == (StatusCode.ERROR, grpc.StatusCode.CANCELLED.value[0])


def test_a_shared_rpc_whose_callers_have_no_spans_begins_a_trace_of_its_own(spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    token = tracing.CALLERS.set(())
    try:
        with provider.get_tracer("sender").start_as_current_span("the caller that happens to send it"):
            span, metadata = tracing._Method(None, PATH)._began()
            span.end()
    finally:
        tracing.CALLERS.reset(token)
    (finished,) = spans.get_finished_spans()
    assert finished.parent is None
    assert finished.context
    assert dict(metadata)["traceparent"].split("-")[1] == f"{finished.context.trace_id:032x}"
