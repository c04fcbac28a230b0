"""No connection keeps the others from watching the server's health."""

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed

pytestmark = OVER_BOTH_TRANSPORTS

WATCH = "/grpc.health.v1.Health/Watch"
CHECK = framed(b"")
SERVING = [HealthCheckResponse(status=HealthCheckResponse.SERVING).SerializeToString()]
RESOURCE_EXHAUSTED = 8


def watch(wire: Http2, *, answered: bool = True) -> int:
    stream = wire.begin(WATCH, GRPC)
    wire.send(stream, CHECK, end=True)
    if answered:
        wire.wait_for_messages(stream, 1)
        assert wire.so_far(stream).messages == SERVING
    return stream


def test_one_connection_cannot_take_every_place_for_health_watches(repository: Path) -> None:
    bounds = ("--max-streams", "6", "--max-connection-streams", "4")
    with (
        ServerProcess("--repository", repository, *bounds) as server,
        Http2(server.wait_ready().target) as greedy,
        Http2(server.target) as balancer,
    ):
        for _ in range(4):
            watch(greedy)
        refused = greedy.call(WATCH, [CHECK])
        assert refused.status == RESOURCE_EXHAUSTED
        assert "max_connection_streams" in refused.message
        watch(balancer)
        assert server.metric("grpc_server_handled_total", grpc_method="Watch") == 1
        assert server.metric("digits_rejected_total", reason="overloaded") == 1


@pytest.mark.parametrize(("connections", "each"), [(2, 3), (6, 1)])
def test_a_balancer_gets_and_keeps_a_watch_when_every_watch_is_taken(
    repository: Path, connections: int, each: int
) -> None:
    with ServerProcess("--repository", repository, "--max-streams", "6") as server, ExitStack() as opened:
        server.wait_ready()
        greedy = [opened.enter_context(Http2(server.target)) for _ in range(connections)]
        taken = [(wire, watch(wire)) for wire in greedy for _ in range(each)]
        with Http2(server.target) as balancer:
            watching = watch(balancer)
            wire, oldest = taken[0]
            ended = wire.reply(oldest)
            assert ended.messages == SERVING
            assert ended.status == RESOURCE_EXHAUSTED
            assert "ended to make room for another one" in unquote(ended.message)
            for wire in greedy[1:]:
                watch(wire, answered=False)
            for wire in greedy:
                wire.ping()
            started = "grpc_server_started_total"
            until(lambda: server.metric(started, grpc_method="Watch") == 6 + connections, "all have come")
            balancer.ping()
            assert not balancer.so_far(watching).ended
            assert server.metric("digits_rejected_total", reason="overloaded") == connections


def test_a_stream_of_predictions_does_not_give_way(repository: Path) -> None:
    """Its caller may have a token, and has work in it. If all places are taken, the next stream is refused."""
    path = "/digits.v1.PredictionService/PredictStream"
    with (
        ServerProcess("--repository", repository, "--max-streams", "2") as server,
        Http2(server.wait_ready().target) as first,
        Http2(server.target) as second,
    ):
        begun = [first.begin(path, GRPC) for _ in range(2)]
        until(lambda: server.metric("grpc_server_started_total", grpc_method="PredictStream") == 2, "both are open")
        refused = second.call(path, [])
        assert refused.status == RESOURCE_EXHAUSTED
        assert "max_streams" in refused.message
        assert int(refused.headers["grpc-retry-pushback-ms"]) > 0
        for stream in begun:
            first.send(stream, b"", end=True)
            assert first.reply(stream).status == 0
