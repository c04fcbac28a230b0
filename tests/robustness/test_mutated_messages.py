"""Messages that are nearly valid: each gets the status that follows from protobuf's own parser."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from random import Random

import grpc
import numpy as np
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from support.calls.open_inference import grpc_request
from support.calls.oracle import CHECK, GET_MODEL, MODEL_INFER, MODEL_METADATA, PREDICT, statuses
from support.calls.rpc import DEADLINE
from support.records import Record
from support.servers.arrangements import OVER_EACH_ARRANGEMENT, transport_of
from support.servers.process import ServerProcess
from support.wire.http2 import GRPC, Http2, framed
from support.wire.mutations import mutated

from digits.inference.inference_pb2 import ModelMetadataRequest
from digits.v1.prediction_pb2 import GetModelRequest, PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_EACH_ARRANGEMENT

STREAM = "/digits.v1.PredictionService/PredictStream"
MESSAGES, MESSAGES_IN_FULL = 1_000, 90_000
STREAMS, STREAMS_IN_FULL = 100, 5_000
FRAMES, FRAMES_IN_FULL = 100, 5_000
IN_FLIGHT = 64

PICTURE = Path("docs/digit.png").read_bytes()
PIXELS = np.zeros((2, 28, 28), np.uint8)
VALID = [
    (PREDICT, PredictRequest(images=bytes(784))),
    (PREDICT, PredictRequest(images=bytes(range(256)) * 49, model_version=1, include_probabilities=True)),
    (PREDICT, PredictRequest(images=bytes(784 * 2), include_probabilities=True)),
    (PREDICT, PredictRequest(image_files=[PICTURE], model_version=1)),
    (GET_MODEL, GetModelRequest()),
    (MODEL_INFER, grpc_request(PIXELS, [2, 28, 28], raw=True)),
    (MODEL_INFER, grpc_request(PIXELS[:1], [1, 784], raw=False, outputs=["digits"])),
    (MODEL_METADATA, ModelMetadataRequest(name="digits", version="1")),
    (CHECK, HealthCheckRequest(service="digits.v1.PredictionService")),
]

LEAKS = re.compile(r"Traceback|File \"|\.py\b|/(home|root|tmp|usr|work|proc)/|0x[0-9a-f]{6}|Error\b.*:")
"""Text that callers must not see: paths of the server, and names of its code."""

MOST_BYTES = 4 * 1024 * 1024


def messages(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    random = Random(seed)
    for path, message in islice(cycle(VALID), count):
        yield path, mutated(message.SerializeToString(), random)


class Answers:
    """The answer to each message, and unexpected text in it."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def take(self, data: bytes, expected: set[str], status: str, said: str) -> None:
        with self._lock:
            self.statuses[status] += 1
            if status not in expected or LEAKS.search(said):
                self.wrong.append(f"{status}: {said!r} instead of {expected} for {data[:40]!r}… of {len(data)}")


@pytest.fixture(autouse=True)
def nothing_is_wrong_with_the_server(server: ServerProcess) -> Iterator[None]:
    yield
    assert server.process.poll() is None
    with server.channel() as channel:
        reply = PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
    assert len(reply.digits) == 1
    assert server.metric("grpc_server_handled_total", grpc_code="INTERNAL") == 0
    assert [line for line in server.stderr if "Traceback" in line or '"level": "error"' in line.lower()] == []


def test_every_mutated_message_gets_its_status(server: ServerProcess, record: Record, full: bool) -> None:
    answers, room = Answers(), threading.Semaphore(IN_FLIGHT)

    with server.channel() as channel:
        methods: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {
            path: channel.unary_unary(path) for path, _ in VALID
        }

        def send(path: str, data: bytes) -> None:
            def come(call: "grpc.Future[bytes]") -> None:
                answers.take(data, expected, call.code().name, call.details() or "")  # type: ignore[attr-defined]
                room.release()

            expected = statuses(path, data)
            room.acquire()
            methods[path].future(data, timeout=DEADLINE).add_done_callback(come)

        count = MESSAGES_IN_FULL if full else MESSAGES
        for path, data in messages(count, seed=7):
            send(path, data)
        for _ in range(IN_FLIGHT):
            assert room.acquire(timeout=DEADLINE)
    told = ", ".join(f"{status} {number:,}" for status, number in answers.statuses.most_common())
    record(
        f"{count:,} mutated messages: wrong statuses or leaks", f"{len(answers.wrong)} ({told})", met=not answers.wrong
    )
    assert answers.wrong == []
    assert answers.statuses.total() == count
    assert {"OK", "INVALID_ARGUMENT", "NOT_FOUND"} <= set(answers.statuses)


def test_a_mutated_message_ends_its_stream_after_the_replies_before_it(
    server: ServerProcess, record: Record, full: bool
) -> None:
    answers, random = Answers(), Random(11)
    good = PredictRequest(images=bytes(784)).SerializeToString()
    count = STREAMS_IN_FULL if full else STREAMS
    with server.channel() as channel:
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(STREAM)
        for _ in range(count):
            data = mutated(random.choice(VALID[:4])[1].SerializeToString(), random)
            replies, received = method(iter([good, data, good]), timeout=DEADLINE), 0
            try:
                for _ in replies:
                    received += 1
            except grpc.RpcError:
                pass
            expected = statuses(PREDICT, data)
            answers.take(data, expected, replies.code().name, replies.details() or "")
            if received != (3 if replies.code().name == "OK" else 1):
                answers.wrong.append(f"{received} replies for {data[:40]!r}")
    record(f"{count:,} streams with a mutated message: wrong", f"{len(answers.wrong)}", met=not answers.wrong)
    assert answers.wrong == []


OK, INVALID, LATE, NOT_FOUND, EXHAUSTED, INTERNAL = 0, 3, 4, 5, 8, 13
BY_NAME = {"OK": OK, "INVALID_ARGUMENT": INVALID, "NOT_FOUND": NOT_FOUND, "RESOURCE_EXHAUSTED": EXHAUSTED}


def by_grpcio(body: bytes) -> set[int]:
    """The valid statuses of grpcio for `body`. It keeps a call with an incomplete message until the deadline.

    Beyond the first of them, our own code reads the messages, and refuses such a call at once.
    """
    mark, length = body[:1], int.from_bytes(body[1:5], "big")
    if mark > b"\1":  # an invalid flag: it considers the message empty, or waits
        return {INVALID, LATE}
    if len(body) < 5:
        return {LATE, INVALID}
    if mark > b"\0" and length <= MOST_BYTES and len(body) - 5 >= length:
        return {INTERNAL}  # by the rules of gRPC: compressed without a named encoding
    if length > MOST_BYTES:
        return {EXHAUSTED}
    if len(body) - 5 < length:
        return {LATE, INVALID}
    return {BY_NAME[name] for name in statuses(PREDICT, body[5 : 5 + length])}


def by_tonic(body: bytes) -> set[int]:
    """The valid statuses of `native` for `body`: INTERNAL unless it is exactly one complete message."""
    mark, length = body[:1], int.from_bytes(body[1:5], "big")
    if len(body) < 5 or mark > b"\0" or len(body) - 5 < length:
        return {INTERNAL}
    right = {BY_NAME[name] for name in statuses(PREDICT, body[5 : 5 + length])}
    return right | {INTERNAL} if len(body) - 5 > length else right


RIGHT: dict[str, Callable[[bytes], set[int]]] = {"grpcio": by_grpcio, "native": by_tonic}
"""By transport, the correct statuses for the body of a Predict call."""


def test_every_mutated_frame_ends_in_a_status(
    server: ServerProcess, transport: str, record: Record, *, full: bool
) -> None:
    """The five bytes before a message: its length and whether it is compressed."""
    random, wrong, found = Random(13), [], Counter[int]()
    whole = framed(PredictRequest(images=bytes(784)).SerializeToString())
    count = FRAMES_IN_FULL if full else FRAMES
    for _ in range(count // FRAMES):
        bodies = [(mutated(whole[:5], random) + whole[5:], mutated(whole, random))[i % 2][:8000] for i in range(FRAMES)]
        with Http2(server.target) as wire:
            streams = [wire.begin(PREDICT, GRPC | {"grpc-timeout": "2S"}) for _ in bodies]
            for stream, body in zip(streams, bodies, strict=True):
                wire.send(stream, body, end=True)
            for reply, body in zip(map(wire.reply, streams), bodies, strict=True):
                found[reply.status] += 1
                if reply.status not in RIGHT[transport_of(transport)](body) or LEAKS.search(reply.message):
                    wrong.append(f"{reply.status} {reply.message!r} for {body[:10]!r}… of {len(body)}")
    told = ", ".join(f"{status}: {number:,}" for status, number in found.most_common())
    record(f"{count:,} mutated frames: wrong statuses", f"{len(wrong)} ({told})", met=not wrong)
    assert wrong == []
