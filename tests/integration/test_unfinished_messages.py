"""Messages that never arrive whole, over grpcio: the oldest are given up, and other callers are answered."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.calls.rpc import DEADLINE, raw_call, refusal
from support.servers.process import OVER_GRPCIO, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, PREDICT, Http2, framed

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_GRPCIO

WATCH = "/grpc.health.v1.Health/Watch"
MESSAGE_BYTES = 1024 * 1024
STREAMS = 2
RESOURCE_EXHAUSTED, INVALID_ARGUMENT = 8, 3
IMAGE = PredictRequest(images=bytes(784))


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:  # noqa: ARG001 - it chooses the transport
    """Bounds small enough that one unfinished call has all further ones read by us."""
    limits = ("--max-message-bytes", str(MESSAGE_BYTES), "--max-unfinished-bytes", str(STREAMS * MESSAGE_BYTES))
    with ServerProcess("--repository", repository, *limits) as server, Http2(server.target) as wire:
        begin_unfinished(wire, PREDICT)
        wire.ping()
        yield server.wait_ready()


def begin_unfinished(wire: Http2, path: str) -> int:
    stream = wire.begin(path, GRPC)
    wire.send(stream, framed(bytes(1000))[:-1])
    return stream


@pytest.mark.parametrize("path", [PREDICT, WATCH])
def test_the_message_that_began_first_is_given_up_for_the_next(server: ServerProcess, path: str) -> None:
    with Http2(server.target) as wire:
        first = begin_unfinished(wire, path)
        others = []

        def given_up() -> bool:
            others.append(begin_unfinished(wire, path))
            wire.ping()
            return wire.so_far(first).ended

        until(given_up, "the first one is given up")
        ended = wire.reply(first)
        assert ended.status == RESOURCE_EXHAUSTED
        assert "max_unfinished_bytes" in unquote(ended.message)
        assert int((ended.headers | ended.trailers)["grpc-retry-pushback-ms"]) > 0
        assert not wire.so_far(others[-1]).ended


def test_other_callers_are_answered_as_always(server: ServerProcess) -> None:
    with server.channel() as channel:
        stub, health = PredictionServiceStub(channel), HealthStub(channel)
        assert len(stub.Predict(IMAGE, timeout=DEADLINE).digits) == 1
        assert len(stub.Predict(PredictRequest(images=bytes(784 * 1000)), timeout=DEADLINE).digits) == 1000
        assert refusal(lambda: stub.Predict(PredictRequest(images=b"1"), timeout=DEADLINE))[0] == "INVALID_ARGUMENT"
        assert refusal(lambda: raw_call(channel, PREDICT, bytes(MESSAGE_BYTES + 1)))[0] == "RESOURCE_EXHAUSTED"
        assert refusal(lambda: raw_call(channel, "/digits.v1.PredictionService/Guess", b""))[0] == "UNIMPLEMENTED"
        watch = health.Watch(HealthCheckRequest(), timeout=DEADLINE)
        assert next(watch).status == HealthCheckResponse.SERVING
        watch.cancel()
        assert len(list(stub.PredictStream(iter([IMAGE] * 3), timeout=DEADLINE))) == 3
    until(
        lambda: server.metric("grpc_server_handled_total", grpc_method="Watch", grpc_code="CANCELLED") >= 1, "it left"
    )


def test_many_calls_at_once_are_all_answered(server: ServerProcess) -> None:
    with server.channel() as channel:
        stub = PredictionServiceStub(channel)
        calls = [stub.Predict.future(IMAGE, timeout=DEADLINE) for _ in range(500)]
        assert {call.code() for call in calls} == {grpc.StatusCode.OK}


def test_a_call_without_a_message_is_told_so(server: ServerProcess) -> None:
    with Http2(server.target) as wire:
        reply = wire.reply(wire.begin(PREDICT, GRPC, end=True))
    assert reply.status == INVALID_ARGUMENT
    assert "expected one" in unquote(reply.message)


def test_a_caller_that_leaves_before_its_message_is_whole_frees_its_place(server: ServerProcess) -> None:
    with Http2(server.target) as wire:
        wire.reset(begin_unfinished(wire, PREDICT))
        wire.ping()
        stream = begin_unfinished(wire, PREDICT)
        with server.channel() as channel:
            assert len(PredictionServiceStub(channel).Predict(IMAGE, timeout=DEADLINE).digits) == 1
        assert not wire.so_far(stream).ended or wire.reply(stream).status == RESOURCE_EXHAUSTED
