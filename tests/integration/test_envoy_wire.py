"""What the Envoy transport says where gRPC leaves the words to the server, and how its process ends."""

import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from support.http2 import GRPC, Http2, framed
from support.servers import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest

pytestmark = pytest.mark.parametrize("transport", ["envoy"], indirect=True, scope="module")

PREDICT = "/digits.v1.PredictionService/Predict"
HEALTH = "/grpc.health.v1.Health/Check"
PREDICT_STREAM = "/digits.v1.PredictionService/PredictStream"
MIB, PIECE = 1024 * 1024, 16 * 1024
INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 3, 8, 12


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Http2]:
    with Http2(server.target) as connection:
        yield connection


def test_a_call_that_ends_in_the_middle_of_its_message_is_told_so(wire: Http2) -> None:
    whole = framed(PredictRequest(images=bytes(784)).SerializeToString())
    reply = wire.call(PREDICT, [whole[:-1]])
    assert reply.status == INVALID_ARGUMENT
    assert "in the middle of a message" in reply.message


def test_a_call_without_a_message_is_told_so(wire: Http2) -> None:
    reply = wire.reply(wire.begin(PREDICT, GRPC, end=True))
    assert reply.status == INVALID_ARGUMENT
    assert "before its message" in reply.message


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/grpcx", "application/grpc-web"])
def test_what_is_not_grpc_is_an_unsupported_media_type(wire: Http2, kind: str) -> None:
    stream = wire.begin(PREDICT, {"content-type": kind, "te": "trailers"})
    wire.send(stream, b"{}", end=True)
    assert wire.reply(stream).headers[":status"] == "415"


def test_a_compressed_call_is_told_what_is_taken(wire: Http2) -> None:
    reply = wire.call(PREDICT, [framed(b"\x1f\x8b", compressed=1)], {"grpc-encoding": "gzip"})
    assert reply.status == UNIMPLEMENTED
    assert reply.headers["grpc-accept-encoding"] == "identity"


def test_a_reset_after_the_whole_request_cancels_the_call(server: ServerProcess, wire: Http2) -> None:
    page = Image.new("L", (4000, 4000), 255)
    ImageDraw.Draw(page).line((2000, 900, 2000, 3100), fill=0, width=300)
    file = BytesIO()
    page.save(file, "PNG")
    started = partial(server.metric, "grpc_server_started_total", grpc_method="Predict")
    cancelled = partial(server.metric, "grpc_server_handled_total", grpc_code="CANCELLED", grpc_method="Predict")
    before = started(), cancelled()
    stream = wire.begin(PREDICT, GRPC)
    for start in range(
        0, len(body := framed(PredictRequest(image_files=[file.getvalue()] * 16).SerializeToString())), 16384
    ):
        wire.send(stream, body[start : start + 16384])
    wire.send(stream, b"", end=True)
    until(lambda: started() == before[0] + 1, "the call has begun")
    wire.reset(stream)
    until(lambda: cancelled() == before[1] + 1, "the call is cancelled")


def test_a_killed_server_leaves_nothing_listening(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        server.process.kill()
        assert server.wait() == -signal.SIGKILL
        host, _, port = server.target.partition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), timeout=10)


def test_the_thread_that_reads_gives_way_to_the_one_that_answers(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        tasks = Path(f"/proc/{server.process.pid}/task").iterdir()
        names = {int(task.name): task.joinpath("comm").read_text() for task in tasks}
        readers = [task for task, name in names.items() if name.startswith("wrk:worker_")]
        usual = os.getpriority(os.PRIO_PROCESS, server.process.pid)
        assert readers
        assert all(os.getpriority(os.PRIO_PROCESS, reader) > usual for reader in readers)


def test_one_prediction_more_than_may_be_under_way_is_refused_and_health_and_streams_never_are(
    repository: Path,
) -> None:
    message = framed(PredictRequest(images=bytes(784)).SerializeToString())
    with (
        ServerProcess("--repository", repository, "--max-calls", "1") as server,
        Http2(server.wait_ready().target) as first,
        Http2(server.target) as second,
    ):
        begun = first.begin(PREDICT, GRPC)
        first.send(begun, message[:-1])
        first.ping()
        refused, again = (second.call(PREDICT, [message]) for _ in range(2))
        assert refused.status == again.status == RESOURCE_EXHAUSTED
        assert "max_calls" in refused.message
        assert int(refused.headers["grpc-retry-pushback-ms"]) > 0
        until(lambda: server.metric("digits_rejected_total", reason="max_calls") >= 2, "what was refused is counted")
        assert second.call(HEALTH, [framed(b"")]).status == 0
        assert second.call(PREDICT_STREAM, [message]).status == 0
        first.send(begun, message[-1:], end=True)
        assert first.reply(begun).status == 0
        until(lambda: second.call(PREDICT, [message]).status == 0, "there is room for one again")


def test_calls_are_refused_once_those_under_way_take_the_memory_there_is(repository: Path) -> None:
    message = framed(PredictRequest(images=bytes(784)).SerializeToString())
    begun = framed(bytes(4 * MIB))[:PIECE]

    with (
        ServerProcess("--repository", repository, "--max-memory", "1") as server,
        Http2(server.wait_ready().target) as holder,
        Http2(server.target) as other,
    ):

        def refused() -> bool:
            stream = holder.begin(PREDICT_STREAM, GRPC)
            for piece in [begun] + [bytes(PIECE)] * 31:
                holder.send(stream, piece)
            return other.call(PREDICT, [message]).status == RESOURCE_EXHAUSTED

        until(refused, "so much of unfinished messages is too much")
        refusal = other.call(PREDICT, [message])
        assert "max_memory" in refusal.message
        assert int(refusal.headers["grpc-retry-pushback-ms"]) > 0
        until(lambda: server.metric("digits_rejected_total", reason="max_memory") >= 2, "what was refused is counted")
        holder.close()
        until(lambda: other.call(PREDICT, [message]).status == 0, "there is memory again")
