"""Unexpected errors: counted every time, logged in full once, and never with a line for each request."""

import pytest

from digits_server.errors import ServingError
from digits_server.observability.metrics import Metrics
from digits_server.rpcs.rpc import Format, UnaryRpc
from digits_server.service.calls import Call, PlainCall
from digits_server.service.offload import Offload
from digits_server.service.wire import SMALL_BYTES


async def fails_here(request: bytes, _call: Call) -> bytes:
    if request == b"other":
        raise LookupError
    raise ZeroDivisionError


async def answer(rpc: UnaryRpc, data: bytes) -> None:
    with pytest.raises(ServingError, match="the server failed on this request"):
        await rpc.answer(data, PlainCall())


def rpc_of(metrics: Metrics) -> UnaryRpc:
    form = Format(bytes, bytes, "bytes")
    return UnaryRpc("s", "m", form, metrics.rpc("unary", "s", "m"), None, Offload("messages", 1 << 20), fails_here)


def internal(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("digits_rejected_total", {"reason": "internal"})


async def test_a_failure_is_logged_in_full_once_however_often_it_is_brought_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    rpc = rpc_of(metrics)
    for _ in range(50):
        await answer(rpc, b"one")
    await answer(rpc, b"other")
    in_full = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert in_full == [ZeroDivisionError, LookupError]
    assert len(caplog.records) <= 4
    assert internal(metrics) == 51


async def test_a_failure_while_a_large_message_is_parsed_is_one_too(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()

    def parse(_data: object) -> bytes:
        raise IndexError

    form = Format(parse, bytes, "bytes")
    beside = Offload("messages", 1 << 20)
    rpc = UnaryRpc("s", "m", form, metrics.rpc("unary", "s", "m"), None, beside, fails_here)
    for size in (1, SMALL_BYTES):
        await answer(rpc, bytes(size))
    beside.close()
    assert len([record for record in caplog.records if record.exc_info]) == 1
    assert internal(metrics) == 2
