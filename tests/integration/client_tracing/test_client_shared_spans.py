"""Spans of a client whose calls share RPCs, wait or stream: each keeps its own trace, and is linked with the RPC's."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, format_span_id
from support.client.both import Connect
from support.client.scripted import Gate, ScriptedServer
from support.client.spans import SECONDS, asking, call, rpcs
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import AsyncClient, Client, Coalescing, DeadlineExceeded, Unavailable

pytestmark = pytest.mark.usefixtures("patient")


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


def test_an_unanswered_rpc_leaves_one_span(connect: Connect, left: InMemorySpanExporter) -> None:
    with pytest.raises((Unavailable, DeadlineExceeded)) as failed:
        connect("127.0.0.1:1", tracing=True).predict(IMAGE, timeout=2)
    (span,) = rpcs(left, 1)
    assert (span.attributes or {})["rpc.grpc.status_code"] == failed.value.status.value[0]
    assert span.status.status_code == StatusCode.ERROR


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
