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


def test_a_message_that_cannot_be_read_is_counted_as_that_and_as_nothing_else(server: ServerProcess) -> None:
    """Grpcio counts such calls in the same way when it reads them itself."""

    def unread() -> float:
        return server.metric("digits_grpc_refused_total", reason="unread")

    before, handled = unread(), server.metric("grpc_server_handled_total")
    with Http2(server.target) as wire:
        reply = wire.reply(wire.begin(PREDICT, GRPC, end=True))
        assert reply.status == INVALID_ARGUMENT
        assert "expected one" in unquote(reply.message)
        until(lambda: unread() == before + 1, "the call without a message is counted")
        wire.reset(begin_unfinished(wire, PREDICT))
        until(lambda: unread() == before + 2, "the caller that left is counted")
    with server.channel() as channel:
        assert refusal(lambda: raw_call(channel, PREDICT, bytes(MESSAGE_BYTES + 1)))[0] == "RESOURCE_EXHAUSTED"
    until(lambda: unread() == before + 3, "the large message is counted")
    assert server.metric("grpc_server_handled_total") == handled


def test_one_connection_cannot_take_every_place_for_streams_of_requests(server: ServerProcess) -> None:
    path = "/digits.v1.PredictionService/PredictStream"
    with Http2(server.target) as greedy, Http2(server.target) as another:
        greedy.begin(path, GRPC)
        refused = greedy.call(path, [])
        assert refused.status == RESOURCE_EXHAUSTED
        assert "max_unfinished_bytes" in unquote(refused.message)
        assert another.call(path, [framed(IMAGE.SerializeToString())]).status == 0
