"""The id of a request: the caller's own if it is valid, always the same, and free of cost if not used."""

import subprocess
import sys

import pytest

from digits_server.errors import ServingError, Status
from digits_server.observability.metrics import Metrics
from digits_server.rpcs.interceptors import WatchedCall, watched
from digits_server.rpcs.rpc import Data, Rpc, UnaryRpc
from digits_server.rpcs.table import protobuf
from digits_server.service.calls import REQUEST_ID, PlainCall, request_id
from digits_server.service.offload import Offload


class Told(PlainCall):
    """A call whose caller sent an id."""

    def metadata(self, name: str) -> str | None:  # type: ignore[override]
        return "mine-1" if name == REQUEST_ID else None


class Notes:
    """A watcher that keeps the calls it sees."""

    def __init__(self) -> None:
        self.began_calls: list[str] = []
        self.ended_calls: list[tuple[str, Status]] = []

    def began(self, _rpc: Rpc, call: WatchedCall) -> None:
        self.began_calls.append(call.request_id)

    def ended(self, _rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None:
        assert seconds >= 0
        self.ended_calls.append((call.request_id, status))


def failing_rpc() -> UnaryRpc:
    async def behaviour(_request: object, _call: object) -> bytes:
        raise ZeroDivisionError

    from grpc_health.v1.health_pb2 import HealthCheckRequest

    return UnaryRpc(
        "s",
        "m",
        protobuf(HealthCheckRequest),
        Metrics().rpc("unary", "s", "m"),
        None,
        Offload("messages", 1),
        behaviour,
    )


async def answer(rpc: UnaryRpc, data: Data = b"") -> str:
    with pytest.raises(ServingError) as caught:
        await rpc.answer(data, Told())
    return caught.value.message


async def test_a_failure_of_ours_tells_the_caller_under_which_id_the_log_has_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = await answer(failing_rpc())
    assert message == "the server failed on this request; its log says why (request id mine-1)"
    (record,) = caplog.records
    assert vars(record)["request_id"] == "mine-1"


async def test_watchers_hear_of_the_beginning_and_the_end_under_one_id() -> None:
    notes = Notes()
    (rpc,) = watched([failing_rpc()], [notes])
    assert isinstance(rpc, UnaryRpc)
    assert "mine-1" in await answer(rpc)
    assert notes.began_calls == ["mine-1"]
    assert notes.ended_calls == [("mine-1", Status.INTERNAL)]


def test_a_made_up_id_stays_the_same_for_a_watched_call() -> None:
    call = WatchedCall(PlainCall())
    assert request_id(call) == request_id(call) == call.request_id
    assert request_id(PlainCall()) != request_id(PlainCall())


def test_without_watchers_the_rpcs_are_those_that_were_there() -> None:
    rpc = failing_rpc()
    assert watched([rpc], []) == [rpc]
    assert watched([rpc], [])[0] is rpc


def test_a_server_that_does_not_trace_imports_nothing_for_it() -> None:
    code = "import sys, digits_server.app; print(*[name for name in sys.modules if 'opentelemetry' in name])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.strip() == ""
