"""Callers' spans around calls of a client, and the spans of its RPCs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from digits_client import Client
from support.pictures.pixels import IMAGE
from support.waiting import until

SECONDS = 20


@contextmanager
def asking() -> Iterator[trace.Span]:
    """A caller's span around what follows."""
    with trace.get_tracer("tests").start_as_current_span("caller") as span:
        yield span


def call(client: Client) -> trace.SpanContext:
    """A predict within a caller's span, which is returned."""
    with asking() as caller:
        client.predict(IMAGE, timeout=SECONDS)
        return caller.get_span_context()


def rpcs(left: InMemorySpanExporter, count: int) -> Sequence[ReadableSpan]:
    """The spans of RPCs, when there are `count` of them: some end on a thread of gRPC's."""

    def found() -> list[ReadableSpan]:
        return [span for span in left.get_finished_spans() if span.kind == SpanKind.CLIENT]

    until(lambda: len(found()) >= count, f"{count} spans of RPCs")
    assert len(found()) == count
    return found()
