"""What the log says of calls: nothing, or a line for each with the id under which its caller knows it."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.rpc import DEADLINE, refusal
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

ONE = PredictRequest(images=bytes(784))
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    with ServerProcess("--repository", repository, "--access-log") as running:
        yield running.wait_ready()


def line_of(server: ServerProcess, request_id: str) -> dict[str, Any]:
    """The one line about the request."""

    def found() -> list[dict[str, Any]]:
        return [record for record in server.log if record.get("request_id") == request_id]

    until(lambda: bool(found()), f"a line about {request_id}")
    (line,) = found()
    return line


def test_a_call_is_logged_under_the_id_its_caller_gave_it(stub: PredictionServiceStub, server: ServerProcess) -> None:
    metadata = (("x-request-id", "order-17.a:b_c"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"))
    stub.Predict(ONE, timeout=DEADLINE, metadata=metadata)
    line = line_of(server, "order-17.a:b_c")
    assert line["message"] == "call"
    assert line["method"] == "/digits.v1.PredictionService/Predict"
    assert line["status"] == "OK"
    assert line["milliseconds"] > 0
    assert line["trace_id"] == TRACE


def test_a_refusal_is_logged_with_its_status(stub: PredictionServiceStub, server: ServerProcess) -> None:
    metadata = (("x-request-id", "refused-1"),)
    refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE, metadata=metadata))
    assert line_of(server, "refused-1")["status"] == "INVALID_ARGUMENT"


def test_a_stream_is_one_line(stub: PredictionServiceStub, server: ServerProcess) -> None:
    replies = stub.PredictStream(iter([ONE] * 3), timeout=DEADLINE, metadata=(("x-request-id", "stream-1"),))
    assert len(list(replies)) == 3
    assert line_of(server, "stream-1")["method"] == "/digits.v1.PredictionService/PredictStream"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'quote"d', "{evil}"])
def test_an_id_that_is_none_is_replaced(stub: PredictionServiceStub, server: ServerProcess, given: str) -> None:
    before = len([record for record in server.log if record["message"] == "call"])
    stub.Predict(ONE, timeout=DEADLINE, metadata=(("x-request-id", given),))

    def calls() -> list[dict[str, Any]]:
        return [record for record in server.log if record["message"] == "call"][before:]

    until(lambda: bool(calls()), "the call is logged")
    assert re.fullmatch(r"[0-9a-f]{32}", calls()[0]["request_id"])


def test_a_request_over_http_is_logged_and_answered_with_its_id(server: ServerProcess) -> None:
    request = urllib.request.Request(f"{server.http}/v2/health/live?a=b", headers={"x-request-id": "web-1"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
        assert reply.headers["x-request-id"] == "web-1"
    line = line_of(server, "web-1")
    assert (line["message"], line["method"], line["status"]) == ("request", "GET /v2/health/live", 200)


def test_no_path_can_forge_a_line_of_the_log(server: ServerProcess) -> None:
    path = "/nowhere%0Aforged%20line" + "x" * 300
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(
            urllib.request.Request(server.http + path, headers={"x-request-id": "web-2"}), timeout=DEADLINE
        )
    refused.value.close()
    line = line_of(server, "web-2")
    assert line["method"] == f"GET {path[:200]}"
    assert line["status"] == 404


def test_calls_are_not_logged_unless_asked_for(repository: Path) -> None:
    with ServerProcess("--repository", repository) as server, server.channel() as channel:
        server.wait_ready()
        PredictionServiceStub(channel).Predict(ONE, timeout=DEADLINE)
        server.terminate()
        assert server.wait() == 0
        assert [record for record in server.log if record["message"] == "call"] == []
