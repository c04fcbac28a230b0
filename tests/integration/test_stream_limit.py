"""The limit of streams at once; other calls are still answered."""

from pathlib import Path

from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed

from digits.v1.prediction_pb2 import PredictRequest

pytestmark = OVER_BOTH_TRANSPORTS

PREDICT = "/digits.v1.PredictionService/Predict"
PREDICT_STREAM = "/digits.v1.PredictionService/PredictStream"
WATCH = "/grpc.health.v1.Health/Watch"
REQUEST = framed(PredictRequest(images=bytes(784)).SerializeToString())
RESOURCE_EXHAUSTED = 8


def test_one_stream_more_than_there_may_be_is_refused_until_one_ends(repository: Path) -> None:
    with (
        ServerProcess("--repository", repository, "--max-streams", "2") as server,
        Http2(server.wait_ready().target) as first,
        Http2(server.target) as second,
    ):
        idle = [first.begin(PREDICT_STREAM, GRPC) for _ in range(2)]
        started = "grpc_server_started_total"
        until(
            lambda: server.metric(started, grpc_method="PredictStream") == 2, "two streams are open, which say nothing"
        )
        refused = second.call(PREDICT_STREAM, [REQUEST])
        assert refused.status == RESOURCE_EXHAUSTED
        assert "max_streams" in refused.message
        assert int(refused.headers["grpc-retry-pushback-ms"]) > 0
        assert server.metric("digits_rejected_total", reason="overloaded") == 1
        assert second.call(PREDICT, [REQUEST]).status == 0
        second.begin(WATCH, GRPC)
        first.send(idle[0], b"", end=True)
        assert first.reply(idle[0]).status == 0
        assert second.call(PREDICT_STREAM, [REQUEST]).status == 0
        first.reset(idle[1])
        until(lambda: _answers(second, streams=2), "one that was left is no longer open")


def _answers(wire: Http2, *, streams: int) -> bool:
    """Whether `count` streams at once are answered."""
    begun = [wire.begin(PREDICT_STREAM, GRPC) for _ in range(streams)]
    for stream in begun:
        wire.send(stream, REQUEST, end=True)
    return all(wire.reply(stream).status == 0 for stream in begun)
