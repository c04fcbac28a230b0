"""Many image files, large and small: other callers are answered, and memory is bounded and returned afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from time import perf_counter

import grpc
import numpy as np
import pytest
from PIL import Image, ImageDraw
from support.attacks.large_messages import picture
from support.calls.probe import Probe
from support.calls.rpc import DEADLINE, status_of
from support.machine.usage import Usage
from support.records import Record
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

SIDE = 4096
GREEDY = 4
"""Callers of large pictures, each on its own connection."""

FILES_EACH = 16
"""Of one request: more pixels are refused."""

SMALL_CALLS, SMALL_CALLS_IN_FULL = 10, 100
STREAMS, STREAM_REQUESTS = 12, 8
STREAM_SECONDS = 240.0
"""A busy machine takes a minute to decode all of them."""

FORMAT_TRIES = 10
"""Repetitions for one picture: the machine itself stalls sometimes, so the shortest wait counts."""

PROMISED_SECONDS, MOST_SECONDS = 0.1, 2.0
"""A probe's longest wait during one picture: the recorded limit, on a quiet machine, and the asserted one, on any
machine."""

MOST_MEMORY = 384.0
"""MiB that the server may grow by: grpcio takes in some megabytes of each stream before anybody asks for them."""

MOST_LEFT = 64.0
"""MiB of it that it may have kept some seconds after the burst."""


@pytest.fixture(scope="module")
def large() -> bytes:
    """A page of 4096 × 4096 pixels in 90 kB and more, all of which has to be decoded."""
    page = Image.new("RGBA", (SIDE, SIDE), "white")
    ImageDraw.Draw(page).line((SIDE // 2, SIDE // 5, SIDE // 2, SIDE * 4 // 5), fill="black", width=SIDE // 12)
    return encoded(page)


@pytest.fixture(scope="module")
def small() -> bytes:
    page = Image.new("L", (80, 80), 255)
    ImageDraw.Draw(page).line((40, 16, 40, 64), fill=0, width=7)
    return encoded(page)


def encoded(page: Image.Image) -> bytes:
    file = BytesIO()
    page.save(file, "PNG")
    return file.getvalue()


def seconds_of(stub: PredictionServiceStub, file: bytes, calls: int) -> list[float]:
    found = []
    for _ in range(calls):
        begin = perf_counter()
        assert len(stub.Predict(PredictRequest(image_files=[file]), timeout=DEADLINE).digits) == 1
        found.append(perf_counter() - begin)
    return found


@pytest.mark.alone
def test_a_small_picture_is_answered_beside_callers_of_the_largest_ones(
    server: ServerProcess, large: bytes, small: bytes, record: Record, *, full: bool
) -> None:
    calls = SMALL_CALLS_IN_FULL if full else SMALL_CALLS
    greedy = [grpc.insecure_channel(server.target, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(GREEDY)]
    with server.channel() as channel:
        stub = PredictionServiceStub(channel)
        alone = np.quantile(seconds_of(stub, small, calls), 0.99)
        request = PredictRequest(image_files=[large] * FILES_EACH)
        works = [PredictionServiceStub(each).Predict.future(request, timeout=DEADLINE) for each in greedy]
        until(lambda: server.metric("grpc_server_started_total", grpc_method="Predict") >= calls + GREEDY, "all began")
        beside = np.quantile(seconds_of(stub, small, calls), 0.99)
        still = sum(not work.done() for work in works)
    for each in greedy:
        each.close()
    record(
        f"{GREEDY} callers of {FILES_EACH} pictures of {SIDE} × {SIDE} pixels: p99 of another's small picture",
        f"{1000 * beside:.0f} ms, {beside / alone:.1f} ×",
        met=bool(beside <= 3 * alone),
    )
    assert still, "the large ones were done before"


@pytest.mark.alone
def test_no_largest_picture_holds_the_event_loop(server: ServerProcess, record: Record, *, full: bool) -> None:
    """Pillow decodes without Python's lock; only a WebP is copied whole, 64 MB, while it is held."""
    page = Image.new("RGB", (SIDE, SIDE), "white")
    ImageDraw.Draw(page).line((SIDE // 2, SIDE // 5, SIDE // 2, SIDE * 4 // 5), fill="black", width=SIDE // 12)
    waits = {}
    with server.channel() as channel, Probe(server) as probe:
        stub = PredictionServiceStub(channel)
        for kind in ("PNG", "JPEG", "GIF", "WEBP"):
            file = BytesIO()
            page.save(file, kind)
            request = PredictRequest(image_files=[file.getvalue()])
            found = []
            for _ in range(FORMAT_TRIES if full else 1):
                probe.longest = 0.0
                assert len(stub.Predict(request, timeout=DEADLINE).digits) == 1
                found.append(probe.longest)
            waits[kind] = min(found)
    record(
        f"pictures of {SIDE} × {SIDE} pixels: a probe's longest wait beside each",
        ", ".join(f"{kind} {1000 * wait:.0f} ms" for kind, wait in waits.items()),
        met=max(waits.values()) <= PROMISED_SECONDS,
    )
    assert max(waits.values()) <= MOST_SECONDS


def test_a_request_of_more_pixels_than_that_is_refused_at_once(server: ServerProcess, large: bytes) -> None:
    with server.channel() as channel:
        call = PredictionServiceStub(channel).Predict.future(
            PredictRequest(image_files=[large] * (FILES_EACH + 1)), timeout=DEADLINE
        )
        status, message = status_of(call.exception(timeout=DEADLINE))
    assert status == "RESOURCE_EXHAUSTED"
    assert "max_request_pixels" in message


def test_streams_of_files_take_bounded_memory_and_give_it_back(repository: Path, record: Record) -> None:
    files = [picture(seed) for seed in range(3)]

    def requests() -> Iterator[PredictRequest]:
        for _ in range(STREAM_REQUESTS):
            yield PredictRequest(image_files=files)

    def outcome(stub: PredictionServiceStub) -> str:
        try:
            return f"{len(list(stub.PredictStream(requests(), timeout=STREAM_SECONDS)))} replies"
        except grpc.RpcError as error:
            return status_of(error)[0]

    with ServerProcess("--repository", repository) as server, server.wait_ready().channel() as channel:
        stub = PredictionServiceStub(channel)
        stub.Predict(PredictRequest(image_files=files[:1]), timeout=DEADLINE)
        usage = Usage(server.process.pid)
        before = usage.resident
        usage.forget_peak()
        with ThreadPoolExecutor(STREAMS) as pool:
            outcomes = list(pool.map(outcome, [stub] * STREAMS))
        grown = usage.peak - before
        until(lambda: usage.resident <= before + MOST_LEFT, "memory goes back", 60)
        left = usage.resident - before
    record(
        f"{STREAMS} streams of {STREAM_REQUESTS} requests of 3 MB of files on one connection: memory; kept afterwards",
        f"+ {grown:.0f} MiB; + {max(0.0, left):.0f} MiB",
        met=grown <= MOST_MEMORY,
    )
    assert set(outcomes) == {f"{STREAM_REQUESTS} replies"}
    assert grown <= MOST_MEMORY
