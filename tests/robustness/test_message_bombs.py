"""Messages made to fill the memory: too large, larger than they look, or never finished."""

import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import grpc
import pytest
from h2.exceptions import StreamClosedError
from support.attacks.attack import Attack
from support.calls.rpc import refusal, status_of
from support.calls.witness import GrpcWitness
from support.machine.usage import Usages, as_text
from support.records import Record
from support.servers.arrangements import OVER_EACH_ARRANGEMENT
from support.servers.process import ServerProcess
from support.waiting import until
from support.wire.http2 import GRPC, Http2, framed

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""By encoding, what zlib calls its format."""

pytestmark = [OVER_EACH_ARRANGEMENT, pytest.mark.usefixtures("a_good_caller_is_served")]

PREDICT = "/digits.v1.PredictionService/Predict"
MIB = 1024 * 1024
LIMIT = 4 * MIB
"""Bytes of one message, by default."""

OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 0, 8, 12
AT_ONCE = 20
LOOK_SECONDS = 0.25
PIECE = 16_384
MOST_MEMORY = 100.0
"""MiB that the server may grow by refusing."""

UNFINISHED, UNFINISHED_IN_FULL = 48, 160
"""Connections that each send all of a message but its last byte, and stop."""

MOST_UNFINISHED = 400.0
"""MiB that each process may grow by for all of them; more is recorded as a promise missed. The server bounds such
messages, and Envoy its heap. Over native there is no bound for calls."""

UNBOUNDED = UNFINISHED_IN_FULL * LIMIT / MIB * 2 + MOST_MEMORY
"""MiB where there is no bound: each message, twice."""


@pytest.fixture
def usage(server: ServerProcess) -> Usages:
    found = Usages(server.pids)
    found.remember()
    return found


def test_one_byte_more_than_the_limit_is_refused(server: ServerProcess) -> None:
    overhead = PredictRequest(images=bytes(LIMIT)).ByteSize() - LIMIT
    with server.channel() as channel:
        stub = PredictionServiceStub(channel)
        within = refusal(lambda: stub.Predict(PredictRequest(images=bytes(LIMIT - overhead))))
        over = refusal(lambda: stub.Predict(PredictRequest(images=bytes(LIMIT - overhead + 1))))
    assert within[0] == "INVALID_ARGUMENT"  # not a whole number of images, but the server reads it
    assert over[0] == "RESOURCE_EXHAUSTED"


def dribbled(target: str, *, refused: bool) -> int | None:
    """The end of a call that declares 1 GiB and begins to send it byte by byte.

    refused  whether it is to be told to stop by a status; None: its beginning is read, and that is all
    """
    with Http2(target) as wire:
        stream = wire.begin(PREDICT, GRPC)
        for byte in b"\0" + (1024 * MIB).to_bytes(4, "big"):
            wire.send(stream, bytes([byte]))
        wire.ping()
        return wire.reply(stream).status if refused else None


def bombed(target: str, encoding: str, bomb: bytes) -> int:
    """The status of a call whose message grows a thousandfold when it is decompressed."""
    with Http2(target) as wire:
        stream = wire.begin(PREDICT, GRPC | {"grpc-encoding": encoding})
        body = framed(bomb, compressed=1)
        with suppress(StreamClosedError):  # it was refused before its end
            for start in range(0, len(body), PIECE):
                wire.send(stream, body[start : start + PIECE], end=start + PIECE >= len(body))
        return wire.reply(stream).status


def test_a_gibibyte_declared_and_dribbled_takes_no_memory(
    server: ServerProcess, transport: str, usage: Usages, record: Record
) -> None:
    """Grpcio refuses it because of its length prefix; the others count the bytes that arrive."""
    refused = transport == "grpcio"
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = Counter(pool.map(partial(dribbled, refused=refused), [server.target] * AT_ONCE))
    growth = usage.growth()
    grown = sum(growth.values())
    record(f"1 GiB declared and dribbled, {AT_ONCE} at once: memory", as_text(growth), met=grown <= MOST_MEMORY)
    assert statuses == {RESOURCE_EXHAUSTED if refused else None: AT_ONCE}
    assert grown <= MOST_MEMORY


@pytest.mark.parametrize("encoding", WINDOW_BITS)
def test_bombs_are_not_inflated(
    server: ServerProcess, transport: str, usage: Usages, record: Record, encoding: str, *, full: bool
) -> None:
    inflates = (transport, encoding) == ("native", "gzip")  # so it serves callers of this machine only
    count = 1 if inflates else AT_ONCE
    inflated = (1000 if full and not inflates else 100) * MIB
    packer = zlib.compressobj(9, wbits=WINDOW_BITS[encoding])
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(inflated // MIB)) + packer.flush()
    assert inflated / len(bomb) > 900
    with ThreadPoolExecutor(count) as pool:
        statuses = Counter(pool.map(bombed, [server.target] * count, [encoding] * count, [bomb] * count))
    growth = usage.growth()
    grown = sum(growth.values())
    promise = f"{count} bombs in {encoding} of {len(bomb) / MIB:.1f} MiB for {inflated // MIB:,} MiB at once: memory"
    record(promise, as_text(growth), met=grown <= MOST_MEMORY)
    if inflates:
        assert statuses == {RESOURCE_EXHAUSTED: count}
        return
    assert statuses == {UNIMPLEMENTED: count}
    assert grown <= MOST_MEMORY


@pytest.mark.parametrize("calls", ["messages", "streams"])
def test_messages_that_are_never_finished_take_bounded_memory(
    server: ServerProcess, transport: str, usage: Usages, record: Record, calls: str, *, full: bool
) -> None:
    count = UNFINISHED_IN_FULL if full else UNFINISHED
    with Attack(f"unfinished_{calls}", server.target, count) as attack:
        attack.done()
        with GrpcWitness(server.target) as witness:
            witness.wait_for_more(10)
        with server.channel() as channel:
            large = PredictRequest(images=bytes(784 * 5000))
            assert len(PredictionServiceStub(channel).Predict(large, timeout=30).digits) == 5000
            until(lambda: stream_is_answered(channel), "a stream gets a place", 60, pause=LOOK_SECONDS)
        assert witness.failures == []
        growth = usage.growth()
    grown = max(growth.values())
    of_streams = "" if calls == "messages" else " in streams"
    promise = f"{count} messages of 4 MiB{of_streams} never finished: memory"
    record(promise, as_text(growth), met=grown <= MOST_UNFINISHED)
    assert grown <= (UNBOUNDED if (calls, transport) == ("messages", "native") else MOST_UNFINISHED)


def stream_is_answered(channel: grpc.Channel) -> bool:
    stub = PredictionServiceStub(channel)
    try:
        return len(list(stub.PredictStream(iter([PredictRequest(images=bytes(784))]), timeout=30))) == 1
    except grpc.RpcError as error:
        assert status_of(error)[0] == "RESOURCE_EXHAUSTED"
        return False
