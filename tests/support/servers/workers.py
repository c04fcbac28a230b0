"""Servers of several worker processes, and callers that reach each of them."""

from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import grpc
from PIL import Image, ImageDraw

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.calls.rpc import DEADLINE
from support.machine.processes import children
from support.servers.process import ServerProcess
from support.waiting import until

WORKERS = 2
CONNECTIONS = 24
"""So many that it is very unlikely (1 in 2²³) that one worker gets all of them."""
PREDICT = {"grpc_service": "digits.v1.PredictionService", "grpc_method": "Predict"}
IMAGE = PredictRequest(images=bytes(784))


def starting(repository: Path, *flags: str) -> ServerProcess:
    return ServerProcess("--repository", repository, "--workers", str(WORKERS), *flags)


def workers(server: ServerProcess) -> set[int]:
    return children(server.process.pid)


def connect(server: ServerProcess, count: int, opened: ExitStack) -> list[PredictionServiceStub]:
    """Stubs, each with its own connection."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [opened.enter_context(grpc.insecure_channel(server.target, options)) for _ in range(count)]
    return [PredictionServiceStub(channel) for channel in channels]


def all_answer(server: ServerProcess, count: int = CONNECTIONS) -> None:
    """One call over each of `count` new connections."""
    with ExitStack() as opened:
        for stub in connect(server, count, opened):
            assert len(stub.Predict(IMAGE, timeout=DEADLINE).digits) == 1


def slow_request(pictures: int) -> PredictRequest:
    """Keeps a worker busy for a tenth of a second or more for each picture to decode."""
    picture = Image.new("L", (4000, 4000), 255)
    ImageDraw.Draw(picture).line((2000, 900, 2000, 3100), fill=0, width=300)
    file = BytesIO()
    picture.save(file, "PNG")
    return PredictRequest(image_files=[file.getvalue()] * pictures)


def begin_slow_calls(
    server: ServerProcess, opened: ExitStack, *, pictures: int
) -> Sequence["grpc.Future[PredictResponse]"]:
    """Enough calls, over as many connections, to keep every worker busy."""
    request = slow_request(pictures)
    calls = [stub.Predict.future(request, timeout=DEADLINE) for stub in connect(server, 8, opened)]
    until(lambda: server.metric("grpc_server_started_total", **PREDICT) == len(calls), "all calls have arrived")
    return calls
