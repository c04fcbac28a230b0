"""The access log: off, or one line for each call with the caller's request id."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.calls.rpc import DEADLINE, refusal
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

ONE = PredictRequest(images=bytes(784))
TOKEN, OTHER = "a-token-of-a-caller-4dAq1", "a-token-of-another-7bX"
KNOWN = ("authorization", f"Bearer {TOKEN}")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def server(
    repository: Path,
    transport: str,  # noqa: ARG001 - it is told by environment
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServerProcess]:
    tokens = tmp_path_factory.mktemp("access") / "tokens"
    tokens.write_text(f"# the sorting office\n{TOKEN}\n# was {TOKEN}-old until May\n{OTHER}\n")
    open_paths = "/v2*,/nowhere*,/metrics,/healthz,/readyz"
    flags = ["--access-log", "--http-open", open_paths]
    with ServerProcess("--repository", repository, "--tokens", tokens, *flags) as running:
        yield running.wait_ready()


def line_of(server: ServerProcess, request_id: str) -> dict[str, Any]:
    """The one line about the request."""

    def found() -> list[dict[str, Any]]:
        return [record for record in server.log if record.get("request_id") == request_id]

    until(lambda: bool(found()), f"a line about {request_id}")
    (line,) = found()
    return line


def test_a_call_is_logged_under_the_id_its_caller_gave_it(stub: PredictionServiceStub, server: ServerProcess) -> None:
    metadata = (("x-request-id", "order-17.a:b_c"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), KNOWN)
    stub.Predict(ONE, timeout=DEADLINE, metadata=metadata)
    line = line_of(server, "order-17.a:b_c")
    assert line["message"] == "call"
    assert line["method"] == "/digits.v1.PredictionService/Predict"
    assert line["status"] == "OK"
    assert line["milliseconds"] > 0
    assert line["trace_id"] == TRACE
    assert line["peer"].startswith("127.0.0.1:")
    assert (line["images"], line["model_version"], line["token"]) == (1, 1, "the sorting office")


def test_a_token_below_a_comment_that_may_hold_another_one_is_called_by_its_line(
    stub: PredictionServiceStub, server: ServerProcess
) -> None:
    metadata = (("x-request-id", "other-1"), ("authorization", f"Bearer {OTHER}"))
    stub.Predict(ONE, timeout=DEADLINE, metadata=metadata)
    assert line_of(server, "other-1")["token"] == "line 4"  # noqa: S105 - it is a name
    assert not any("a-token" in line for line in server.stderr)


def test_probes_and_scrapes_are_left_out_unless_they_fail(server: ServerProcess) -> None:
    with server.channel() as channel:
        HealthStub(channel).Check(HealthCheckRequest(), timeout=DEADLINE)
        for path in ("/metrics", "/healthz", "/readyz", "/v2/health/live", "/v2/models/digits/ready"):
            assert server.get(path)[0] == 200
        refusal(lambda: HealthStub(channel).Check(HealthCheckRequest(service="none"), timeout=DEADLINE))
    until(lambda: any(record.get("status") == "NOT_FOUND" for record in server.log), "the failed probe is logged")
    probes = ("Health/Check", "/metrics", "z", "/live", "/ready")
    logged = [record for record in server.log if record.get("method", "").endswith(probes)]
    assert [record["status"] for record in logged] == ["NOT_FOUND"]


def test_a_refusal_is_logged_with_its_status(stub: PredictionServiceStub, server: ServerProcess) -> None:
    metadata = (("x-request-id", "refused-1"), KNOWN)
    refusal(lambda: stub.Predict(PredictRequest(images=b"?"), timeout=DEADLINE, metadata=metadata))
    assert line_of(server, "refused-1")["status"] == "INVALID_ARGUMENT"


def test_a_stream_is_one_line(stub: PredictionServiceStub, server: ServerProcess) -> None:
    replies = stub.PredictStream(iter([ONE] * 3), timeout=DEADLINE, metadata=(("x-request-id", "stream-1"), KNOWN))
    assert len(list(replies)) == 3
    line = line_of(server, "stream-1")
    assert line["method"] == "/digits.v1.PredictionService/PredictStream"
    assert line["images"] == 3


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'quote"d', "{evil}"])
def test_an_invalid_id_is_replaced(stub: PredictionServiceStub, server: ServerProcess, given: str) -> None:
    before = len([record for record in server.log if record["message"] == "call"])
    stub.Predict(ONE, timeout=DEADLINE, metadata=(("x-request-id", given), KNOWN))

    def calls() -> list[dict[str, Any]]:
        return [record for record in server.log if record["message"] == "call"][before:]

    until(lambda: bool(calls()), "the call is logged")
    assert re.fullmatch(r"[0-9a-f]{32}", calls()[0]["request_id"])


def test_a_request_over_http_is_logged_and_answered_with_its_id(server: ServerProcess) -> None:
    request = urllib.request.Request(f"{server.http}/v2?a=b", headers={"x-request-id": "web-1"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
        assert reply.headers["x-request-id"] == "web-1"
    line = line_of(server, "web-1")
    assert (line["message"], line["method"], line["status"]) == ("request", "GET /v2", 200)


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
