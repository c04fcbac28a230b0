"""Traces of a client: its RPCs' spans stand between the callers' and the server's."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from support.client.both import Connect
from support.client.spans import asking, rpcs
from support.pictures.pixels import IMAGE
from support.programs.collector import Collector
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits_client import Coalescing, NotFound

pytestmark = OVER_BOTH_TRANSPORTS
PREDICT = "digits.v1.PredictionService/Predict"


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, collector: Collector) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    flags = ("--repository", repository, "--tracing-endpoint", collector.endpoint)
    with ServerProcess(*flags, environment={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as running:
        yield running.wait_ready()


def served(collector: Collector, trace_id: int, count: int) -> list[Span]:
    """The server's spans of calls of Predict in a trace."""

    def found() -> list[Span]:
        return [
            span
            for span in collector.trace(format_trace_id(trace_id))
            if (span.kind, span.name) == (Span.SPAN_KIND_SERVER, PREDICT)
        ]

    until(lambda: len(found()) >= count, f"{count} spans of the server")
    assert len(found()) == count
    return found()


@pytest.mark.parametrize("coalescing", [Coalescing(), None], ids=["coalescing", "alone"])
def test_an_rpcs_span_is_the_callers_child_and_the_parent_of_the_servers(
    connect: Connect,
    server: ServerProcess,
    collector: Collector,
    left: InMemorySpanExporter,
    coalescing: Coalescing | None,
) -> None:
    client = connect(server.target, tracing=True, coalescing=coalescing)
    with asking() as caller:
        client.predict(IMAGE)
    (rpc,) = rpcs(left, 1)
    assert (rpc.name, rpc.kind, rpc.status.status_code) == (PREDICT, SpanKind.CLIENT, StatusCode.UNSET)
    assert rpc.parent == caller.get_span_context()
    assert rpc.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "digits.v1.PredictionService",
        "rpc.method": "Predict",
        "rpc.grpc.status_code": 0,
    }
    assert rpc.context
    (answered,) = served(collector, rpc.context.trace_id, 1)
    assert answered.parent_span_id.hex() == format_span_id(rpc.context.span_id)


def test_each_rpc_of_a_batch_has_a_span_and_every_method_its_name(
    connect: Connect, server: ServerProcess, collector: Collector, left: InMemorySpanExporter
) -> None:
    client = connect(server.target, tracing=True, token="with-a-token-too")  # noqa: S106 - nobody asks for it
    with asking() as caller:
        client.predict_batch(IMAGE[np.newaxis].repeat(3000, axis=0))
        client.model()
        client.health()
    found = rpcs(left, 5)
    names = [PREDICT] * 3 + ["digits.v1.PredictionService/GetModel", "grpc.health.v1.Health/Check"]
    assert sorted(span.name for span in found) == sorted(names)
    assert all(span.parent == caller.get_span_context() for span in found)
    calls = {span.parent_span_id.hex() for span in served(collector, caller.get_span_context().trace_id, 3)}
    assert calls <= {format_span_id(span.context.span_id) for span in found if span.context}


def test_a_failed_rpc_is_an_error_that_says_why(
    connect: Connect, server: ServerProcess, left: InMemorySpanExporter
) -> None:
    with pytest.raises(NotFound) as refused:
        connect(server.target, tracing=True).predict(IMAGE, model_version=99)
    with pytest.raises(NotFound):
        connect(server.target, tracing=True).predict_batch([IMAGE], model_version=99)
    for span in rpcs(left, 2):
        assert (span.attributes or {})["rpc.grpc.status_code"] == 5
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(refused.value))


def test_without_tracing_no_traceparent_is_sent_and_no_span_left(
    connect: Connect, server: ServerProcess, collector: Collector, left: InMemorySpanExporter
) -> None:
    before = len([span for span in collector.spans() if not span.parent_span_id and span.name == PREDICT])
    with asking() as caller:
        connect(server.target).predict(IMAGE)
    until(
        lambda: len([s for s in collector.spans() if not s.parent_span_id and s.name == PREDICT]) > before,
        "a trace of the server's own",
    )
    assert collector.trace(format_trace_id(caller.get_span_context().trace_id)) == []
    assert [span.name for span in left.get_finished_spans()] == ["caller"]
