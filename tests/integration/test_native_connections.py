"""Connections over native are bounded in number, although its library accepts any."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.calls.rpc import DEADLINE
from support.machine.processes import connections
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

MOST, IDLE = 40, 300
"""More connections than the server may have descriptors."""

FILES = 200
REQUEST = PredictRequest(images=bytes(784))


@pytest.fixture(params=[MOST, 1024], ids=["limit of connections", "limit of open files"])
def server(repository: Path, request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    flags = ("--transport", "native", "--max-grpc-connections", str(request.param))
    with ServerProcess("--repository", repository, *flags) as running:
        running.wait_ready()
        resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        yield running


def test_idle_connections_are_closed_for_others_and_never_take_every_descriptor(server: ServerProcess) -> None:
    host, _, port = server.target.rpartition(":")
    with server.channel() as channel, ExitStack() as opened:
        stub = PredictionServiceStub(channel)
        stub.Predict(REQUEST, timeout=DEADLINE)
        for number in range(IDLE):
            opened.enter_context(socket.create_connection((host, int(port)), timeout=DEADLINE))
            if number % 10 == 0:
                stub.Predict(REQUEST, timeout=DEADLINE)  # the one that calls is not idle
        until(lambda: connections(server.process.pid, int(port)) <= FILES // 2, "the idle connections are closed")
        stub.Predict(REQUEST, timeout=DEADLINE)
        assert server.get("/healthz")[0] == 200
        with server.channel() as newcomer:
            PredictionServiceStub(newcomer).Predict(REQUEST, timeout=DEADLINE)
        assert server.wait_for_log("closed ")["level"] == "warning"
