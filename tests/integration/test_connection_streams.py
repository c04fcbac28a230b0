"""One connection has so many streams of an RPC at once, over grpcio: native does not tell the connections apart."""

from pathlib import Path

from support.http2 import GRPC, Http2, framed
from support.servers import OVER_GRPCIO, ServerProcess
from support.waiting import until

pytestmark = OVER_GRPCIO

WATCH = "/grpc.health.v1.Health/Watch"
RESOURCE_EXHAUSTED = 8


def test_one_connection_cannot_take_every_place_for_health_watches(repository: Path) -> None:
    check = framed(b"")
    bounds = ("--max-streams", "6", "--max-connection-streams", "4")
    with (
        ServerProcess("--repository", repository, *bounds) as server,
        Http2(server.wait_ready().target) as greedy,
        Http2(server.target) as balancer,
    ):
        for _ in range(4):
            greedy.send(greedy.begin(WATCH, GRPC), check, end=True)
        started = "grpc_server_started_total"
        until(lambda: server.metric(started, grpc_method="Watch") == 4, "four watches are open")
        refused = greedy.call(WATCH, [check])
        assert refused.status == RESOURCE_EXHAUSTED
        assert "max_connection_streams" in refused.message
        assert int(refused.headers["grpc-retry-pushback-ms"]) > 0
        watching = balancer.begin(WATCH, GRPC)
        balancer.send(watching, check, end=True)
        until(lambda: server.metric(started, grpc_method="Watch") == 6, "the balancer's watch is open")
        assert server.metric("grpc_server_handled_total", grpc_method="Watch") == 1
        assert server.metric("digits_rejected_total", reason="overloaded") == 1
