"""Traces of a client: its RPCs' spans stand between the callers' and the server's, whoever shares the RPCs."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from support.clients import Connect
from support.collector import Collector
from support.scripted import Gate, ScriptedServer
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits_client import AsyncClient, Client, Coalescing, DeadlineExceeded, NotFound, Unavailable

pytestmark = OVER_BOTH_TRANSPORTS

PREDICT = "digits.v1.PredictionService/Predict"
IMAGE: NDArray[np.uint8] = np.full((28, 28), 7, np.uint8)
SECONDS = 20


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """What the tracer provider of this process, which is set once, exports to."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def left(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    exporter.clear()
    return exporter


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, collector: Collector) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    flags = ("--repository", repository, "--tracing-endpoint", collector.endpoint)
    with ServerProcess(*flags, environment={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as running:
        yield running.wait_ready()


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
    """The spans of RPCs, once there are so many: some end on a thread of gRPC's."""

    def found() -> list[ReadableSpan]:
        return [span for span in left.get_finished_spans() if span.kind == SpanKind.CLIENT]

    until(lambda: len(found()) >= count, f"{count} spans of RPCs")
    assert len(found()) == count
    return found()


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


def test_calls_that_share_an_rpc_are_linked_with_its_span(connect: Connect, left: InMemorySpanExporter) -> None:
    with ScriptedServer() as script, ThreadPoolExecutor(9) as threads:
        script.answer = gate = Gate()
        client = connect(script.target, tracing=True, coalescing=Coalescing(images_per_rpc=8, rpcs_in_flight=2))
        alone = threads.submit(call, client)
        until(lambda: len(script.requests) == 1, "an RPC on the way")
        sharing = [threads.submit(call, client) for _ in range(8)]
        until(lambda: len(script.requests) == 2, "the shared RPC on the way")
        gate.open()
        callers = {future.result().span_id for future in sharing}
        first = alone.result()
    spans = rpcs(left, 2)
    (shared,) = [span for span in spans if span.parent != first]
    assert shared.parent
    assert shared.context
    others = {link.context.span_id for link in shared.links}
    assert len(others) == 7
    assert others | {shared.parent.span_id} == callers
    for span in left.get_finished_spans():
        if span.context and span.context.span_id in others:
            assert [link.context for link in span.links] == [shared.context]


def test_a_call_that_waited_for_its_rpc_keeps_its_own_trace(connect: Connect, left: InMemorySpanExporter) -> None:
    with ScriptedServer() as script, ThreadPoolExecutor(3) as threads:
        script.answer = gate = Gate()
        client = connect(script.target, tracing=True)
        first = threads.submit(call, client)
        until(lambda: len(script.requests) == 1, "an RPC on the way")
        waiting = threads.submit(call, client)
        untraced = threads.submit(client.predict, IMAGE, probabilities=True, timeout=SECONDS)
        until(lambda: len(script.requests) == 2, "the call of another kind on the way")
        gate.open()
        untraced.result()
        parents = [first.result(), waiting.result(), None]
    spans = rpcs(left, 3)
    assert all(span.parent in parents for span in spans)
    assert len({span.parent.span_id if span.parent else None for span in spans}) == 3
    assert not any(span.links for span in spans)


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


def test_an_rpc_that_nobody_answers_leaves_one_span(connect: Connect, left: InMemorySpanExporter) -> None:
    with pytest.raises((Unavailable, DeadlineExceeded)) as failed:
        connect("127.0.0.1:1", tracing=True).predict(IMAGE, timeout=2)
    (span,) = rpcs(left, 1)
    assert (span.attributes or {})["rpc.grpc.status_code"] == failed.value.status.value[0]
    assert span.status.status_code == StatusCode.ERROR


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


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_without_opentelemetry_tracing_is_misused(kind: type) -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        f"from digits_client import {kind.__name__}, Misused\n"
        f"{kind.__name__}()\n"
        f"try: {kind.__name__}(tracing=True)\n"
        "except Misused as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=SECONDS)
    assert "install digits-client with its extra 'tracing'" in told.stdout


def test_a_stream_is_one_span_from_its_first_request_to_its_end(connect: Connect, left: InMemorySpanExporter) -> None:
    with ScriptedServer() as script:
        client = connect(script.target, tracing=True)
        with asking() as caller:
            assert len(list(client.predict_stream([IMAGE, IMAGE]))) == 2
            parent = caller.get_span_context()
        (span,) = rpcs(left, 1)
        (context,) = script.streams
        traceparent = str(dict(context.invocation_metadata())["traceparent"])
    assert span.name == "digits.v1.PredictionService/PredictStream"
    assert span.context.trace_id == parent.trace_id
    assert format_span_id(span.context.span_id) in traceparent
    assert span.status.status_code is not StatusCode.ERROR


def test_a_shared_rpc_that_waits_for_its_token_is_linked_with_its_callers(
    connect: Connect, left: InMemorySpanExporter
) -> None:
    with ScriptedServer() as script:
        script.answer = gate = Gate()
        client = connect(script.target, tracing=True, token=lambda: "a-token", timeout=SECONDS)
        with ThreadPoolExecutor(4) as threads:
            first = threads.submit(call, client)
            until(lambda: len(script.requests) == 1, "the first call is at the server")
            others = [threads.submit(call, client) for _ in range(3)]
            until(lambda: client.stats().images_waiting == 3, "the others wait")
            gate.open()
            callers = {other.result().span_id for other in others}
            first.result()
        (shared,) = [span for span in rpcs(left, 2) if span.links]
    assert shared.parent is not None
    assert {shared.parent.span_id, *(link.context.span_id for link in shared.links)} == callers
