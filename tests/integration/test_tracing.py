"""Spans of calls at a collector: the call, its wait, its batch and the model's run, in the caller's trace."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support.calls.rpc import DEADLINE, refusal
from support.programs.collector import Collector, attributes
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

Metadata = tuple[tuple[str, str | bytes], ...]

PREDICT = "digits.v1.PredictionService/Predict"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}  # milliseconds between two exports
ONE = PredictRequest(images=bytes(784))


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, collector: Collector) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    with ServerProcess(
        "--repository", repository, "--tracing-endpoint", collector.endpoint, environment=SOON
    ) as running:
        yield running.wait_ready()


def caller(sampled: bool = True) -> tuple[str, str, Metadata]:
    """A trace, the caller's span in it, and the metadata that says both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, (("traceparent", f"00-{trace}-{span}-{'01' if sampled else '00'}"),)


def test_a_call_is_a_child_of_its_callers_span_with_queue_batch_and_compute_below(
    stub: PredictionServiceStub, collector: Collector
) -> None:
    trace, parent, metadata = caller()
    stub.Predict(PredictRequest(images=bytes(3 * 784)), timeout=DEADLINE, metadata=metadata)
    call, queue, batch, compute = collector.wait_for(trace, PREDICT, "queue", "batch", "compute")
    assert call.parent_span_id.hex() == parent
    assert call.kind == Span.SPAN_KIND_SERVER
    assert (queue.parent_span_id, batch.parent_span_id) == (call.span_id, call.span_id)
    assert compute.parent_span_id == batch.span_id
    told = attributes(call)
    assert (told["rpc.system"], told["rpc.service"], told["rpc.method"]) == ("grpc", *PREDICT.split("/"))
    assert told["rpc.grpc.status_code"] == 0
    assert attributes(batch)["digits.images"] == attributes(compute)["digits.images"] == 3
    begins = [span.start_time_unix_nano for span in (call, queue, batch, compute)]
    ends = [span.end_time_unix_nano for span in (queue, compute, batch, call)]
    assert begins == sorted(begins)
    assert ends == sorted(ends)
    assert queue.end_time_unix_nano == batch.start_time_unix_nano
    assert collector.services == {"digits-server"}


def test_calls_that_share_a_batch_are_linked_through_it(stub: PredictionServiceStub, collector: Collector) -> None:
    def call(images: int) -> None:
        stub.Predict(PredictRequest(images=bytes(784 * images)), timeout=DEADLINE)

    def shared() -> list[Span]:
        """The model's runs for several calls: those too large for the event loop gather while a slice is computed."""
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(call, [4000, *[100] * 15]))
        return [span for span in collector.spans() if span.name == "compute" and span.links]

    until(lambda: bool(shared()), "calls share a batch")
    runs = shared()
    around = {link.span_id for compute in runs for link in compute.links} | {compute.parent_span_id for compute in runs}
    until(lambda: around <= {span.span_id for span in collector.spans()}, "the batches around them")
    spans = {span.span_id: span for span in collector.spans()}
    for compute in runs:
        others = [spans[link.span_id] for link in compute.links]
        assert {other.name for other in others} == {"batch"}
        assert all([link.span_id for link in other.links] == [compute.span_id] for other in others)
        batches = [spans[compute.parent_span_id], *others]
        assert attributes(compute)["digits.images"] == sum(attributes(batch)["digits.images"] for batch in batches)


def test_each_request_of_a_stream_has_its_own_batch_below_the_stream(
    stub: PredictionServiceStub, collector: Collector
) -> None:
    trace, _, metadata = caller()
    replies = stub.PredictStream(iter([ONE] * 3), timeout=DEADLINE, metadata=metadata)
    assert len(list(replies)) == 3
    name = "digits.v1.PredictionService/PredictStream"
    until(lambda: any(span.name == name for span in collector.trace(trace)), "the stream's span")
    spans = collector.trace(trace)
    (stream,) = [span for span in spans if span.name == name]
    assert [span.parent_span_id for span in spans if span.name == "batch"] == [stream.span_id] * 3


def test_a_large_request_has_a_span_for_each_of_its_batches(
    stub: PredictionServiceStub, collector: Collector, test_images: NDArray[np.uint8]
) -> None:
    trace, _, metadata = caller()
    stub.Predict(PredictRequest(images=test_images[:4000].tobytes()), timeout=DEADLINE, metadata=metadata)
    until(lambda: any(span.name == PREDICT for span in collector.trace(trace)), "the call's span")
    spans = collector.trace(trace)
    batches = [attributes(span)["digits.images"] for span in spans if span.name == "batch"]
    assert len(batches) > 1
    assert sum(batches) == 4000
    assert [span.name for span in spans].count("queue") == 1


def test_a_refused_call_says_why_and_is_no_error_of_ours(stub: PredictionServiceStub, collector: Collector) -> None:
    trace, _, metadata = caller()
    refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE, metadata=metadata))
    (call,) = collector.wait_for(trace, PREDICT)
    assert attributes(call)["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert call.status.code == Status.STATUS_CODE_UNSET


def test_a_caller_that_does_not_sample_is_not_traced(stub: PredictionServiceStub, collector: Collector) -> None:
    unsampled, _, quietly = caller(sampled=False)
    sampled, _, metadata = caller()
    stub.Predict(ONE, timeout=DEADLINE, metadata=quietly)
    stub.Predict(ONE, timeout=DEADLINE, metadata=metadata)
    collector.wait_for(sampled, PREDICT, "queue", "batch", "compute")
    assert collector.trace(unsampled) == []


def test_latencies_carry_the_trace_of_an_example(
    stub: PredictionServiceStub, server: ServerProcess, collector: Collector
) -> None:
    trace, _, metadata = caller()
    stub.Predict(ONE, timeout=DEADLINE, metadata=metadata)
    collector.wait_for(trace, PREDICT, "queue", "batch", "compute")
    page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")[1]
    (line,) = [line for line in page.splitlines() if trace in line]
    assert line.startswith("grpc_server_handling_seconds_bucket{")
    assert 'grpc_method="Predict"' in line
    assert f'# {{trace_id="{trace}"}}' in line


def test_the_last_spans_are_sent_before_the_server_ends(repository: Path, collector: Collector) -> None:
    trace, _, metadata = caller()
    never = {"OTEL_BSP_SCHEDULE_DELAY": "3600000"}
    flags = ("--repository", repository, "--tracing-endpoint", collector.endpoint)
    with ServerProcess(*flags, environment=never) as server, server.channel() as channel:
        server.wait_ready()
        PredictionServiceStub(channel).Predict(ONE, timeout=DEADLINE, metadata=metadata)
        server.terminate()
        assert server.wait() == 0
    collector.wait_for(trace, PREDICT, "queue", "batch", "compute")


def test_a_collector_that_is_not_there_costs_spans_and_no_calls(repository: Path) -> None:
    flags = ("--repository", repository, "--tracing-endpoint", "http://127.0.0.1:1")
    with ServerProcess(*flags, environment=SOON) as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)
        for _ in range(20):
            assert len(stub.Predict(ONE, timeout=DEADLINE).digits) == 1
        server.terminate()
        assert server.wait() == 0


def test_a_password_in_the_endpoint_is_refused_for_it_would_be_shown() -> None:
    ended = run_server("--tracing-endpoint", "http://user:secret@127.0.0.1:4317")
    assert ended.returncode == 2
    assert "no user or password" in ended.stderr
    assert "secret" not in ended.stderr
