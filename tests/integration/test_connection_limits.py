"""The limits of connections: number, age, idle time and pings."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import hpack
import pytest
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_GRPCIO, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed, is_served

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_GRPCIO

PREDICT = "/digits.v1.PredictionService/Predict"
STREAM = "/digits.v1.PredictionService/PredictStream"
REQUEST = PredictRequest(images=bytes(784))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">BHBBL", 0, 0, 4, 0, 0)
"""The beginning of a connection: the preface, and SETTINGS that change nothing."""
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + b"anybody?"
HEADERS, GOAWAY = 1, 7


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:  # noqa: ARG001
    """A server that accepts few connections, for a short time."""
    limits = ["--max-grpc-connections", "4", "--max-connection-idle", "0.5", "--max-connection-age", "1"]
    with ServerProcess("--repository", repository, *limits) as running:
        yield running.wait_ready()


def connection(server: ServerProcess) -> socket.socket:
    host, _, port = server.target.rpartition(":")
    made = socket.create_connection((host, int(port)), timeout=DEADLINE)
    made.sendall(PREFACE)
    return made


def open_stream(server: ServerProcess) -> bytes:
    """HEADERS that begin a PredictStream, and do not end it."""
    pseudo = {":method": "POST", ":scheme": "http", ":path": STREAM, ":authority": server.target}
    block = hpack.Encoder().encode([*pseudo.items(), *GRPC.items()])
    end_of_headers, stream = 4, 1
    return len(block).to_bytes(3, "big") + struct.pack(">BBL", HEADERS, end_of_headers, stream) + block


def framed_request() -> bytes:
    return framed(REQUEST.SerializeToString())


def types(received: bytes) -> list[int]:
    """The types of the whole frames in `received`."""
    found = []
    while len(received) >= 9 + int.from_bytes(received[:3], "big"):
        found.append(received[3])
        received = received[9 + int.from_bytes(received[:3], "big") :]
    return found


def until_its_end(made: socket.socket) -> bytes:
    """Everything the server sends until it closes the connection, as it is expected to."""
    received = b""
    try:
        while piece := made.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def test_one_connection_too_many_is_closed_and_the_others_are_served(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--max-grpc-connections", "3") as server:
        server.wait_ready()
        taken = [Http2(server.target) for _ in range(3)]
        for number, one in enumerate(taken):
            assert one.call(PREDICT, [framed_request()]).status == 0, number
        with closing(connection(server)) as further:
            assert until_its_end(further) == b""
        for one in taken:
            assert one.call(PREDICT, [framed_request()]).status == 0
        taken.pop().__exit__(None, None, None)
        until(lambda: is_served(server.target), "there is room for one again")
        for one in taken:
            one.__exit__(None, None, None)


def test_an_idle_connection_gets_goaway_and_is_closed(server: ServerProcess) -> None:
    with closing(connection(server)) as idle:
        assert GOAWAY in types(until_its_end(idle))


def test_a_connection_with_a_call_is_not_idle_and_old_ones_lose_no_call(server: ServerProcess) -> None:
    """The stream outlives both the idle time and the age of its connection; calls meanwhile move to new ones."""
    go_on = threading.Event()

    def requests() -> Iterator[PredictRequest]:
        yield REQUEST
        assert go_on.wait(DEADLINE)
        yield REQUEST

    with grpc.insecure_channel(server.target) as channel:
        stub = PredictionServiceStub(channel)
        replies = stub.PredictStream(requests(), timeout=DEADLINE)
        assert len(next(replies).digits) == 1
        with closing(connection(server)) as witness:  # it has a call, too, and is younger
            witness.sendall(open_stream(server))
            received = b""
            while GOAWAY not in types(received):
                received += witness.recv(65536)
        for _ in range(50):
            assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1
        go_on.set()
        assert len(next(replies).digits) == 1


def test_a_flood_of_pings_harms_no_other_caller(server: ServerProcess, transport: str) -> None:
    with closing(connection(server)) as flooding, server.channel() as channel:
        stub = PredictionServiceStub(channel)
        for _ in range(200):
            try:
                flooding.sendall(PING * 100)
            except OSError:  # the server closes the connection
                break
            assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1
        assert len(stub.Predict(REQUEST, timeout=DEADLINE).digits) == 1
        if transport == "grpcio":
            assert GOAWAY in types(until_its_end(flooding))
