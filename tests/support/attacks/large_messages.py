"""Attacks by large messages, as `python -m support.attacks` makes them: each takes much memory for little work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from random import Random

import grpc
import numpy as np
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from h2.exceptions import StreamClosedError
from PIL import Image

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub
from support.attacks.attacker import Attacker
from support.wire.http2 import GRPC, Http2, framed

PREDICT = "/digits.v1.PredictionService/Predict"
PREDICT_STREAM = "/digits.v1.PredictionService/PredictStream"
LIMIT = 4 * 1024 * 1024
"""Bytes of one message, by default."""

PIECE = 16_384
SECONDS = 120.0
"""Deadline of each call that a library makes."""

FILES, REQUESTS = 3, 8
"""Image files of a request, and requests of a stream."""

NAME_BYTES = 4_190_000


def unfinished_messages(attacker: Attacker, count: int) -> None:
    """Calls, each on its own connection, that send all of a message but its last byte."""
    _unfinished(attacker, count, PREDICT)


def unfinished_streams(attacker: Attacker, count: int) -> None:
    """The same in streams of requests."""
    _unfinished(attacker, count, PREDICT_STREAM)


def _unfinished(attacker: Attacker, count: int, path: str) -> None:
    body = framed(bytes(LIMIT))[:-1]
    for _ in range(count):
        attacker.sent += 1
        try:
            wire = attacker.hold_open(Http2(attacker.target))
            stream = wire.begin(path, GRPC)
            for start in range(0, len(body), PIECE):
                wire.send(stream, body[start : start + PIECE])
        except StreamClosedError:
            pass  # it was refused
        except (AssertionError, OSError):
            attacker.cut += 1


def file_streams(attacker: Attacker, count: int) -> None:
    """Streams, each on its own connection, of requests with 3 MB of image files."""
    request = PredictRequest(image_files=[picture(seed) for seed in range(FILES)])

    def requests() -> Iterator[PredictRequest]:
        for _ in range(REQUESTS):
            yield request

    def send() -> None:
        with _channel(attacker.target) as channel, suppress(grpc.RpcError):
            list(PredictionServiceStub(channel).PredictStream(requests(), timeout=SECONDS))

    with ThreadPoolExecutor(count) as pool:
        for _ in range(count):
            pool.submit(send)
    attacker.sent = count


def long_watches(attacker: Attacker, count: int) -> None:
    """Health watches for a name of 4 MB, all on one connection."""
    request = HealthCheckRequest(service="a" * NAME_BYTES)
    with _channel(attacker.target) as channel:
        watches = [HealthStub(channel).Watch(request, timeout=SECONDS) for _ in range(count)]
        for watch in watches:
            with suppress(grpc.RpcError):
                next(iter(watch))
    attacker.sent = count


def picture(seed: int) -> bytes:
    """A picture of noise: about 1 MB, quickly decoded."""
    file = BytesIO()
    pixels = np.frombuffer(Random(seed).randbytes(1000 * 1000), np.uint8).reshape(1000, 1000)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _channel(target: str) -> grpc.Channel:
    return grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)])
