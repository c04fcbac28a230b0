"""The id of a request over HTTP, where the server itself fails: its log and its caller know the same one."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import Route

from digits_server.observability.metrics import HttpMetrics
from digits_server.open_inference.protocol import OpenInference
from digits_server.service.offload import Offload
from digits_server.web.answers import answering_errors
from digits_server.web.in_flight import InFlight
from digits_server.web.interceptors import WatchedRequest, watched
from digits_server.web.open_inference import OpenInferenceRoutes
from digits_server.web.routes import counted


class Notes:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []

    def arrived(self, request: WatchedRequest) -> None:
        assert request.status == 0

    def answered(self, request: WatchedRequest, seconds: float) -> None:
        assert seconds >= 0
        self.answers.append((request.request_id, request.status))


async def get(routes: Sequence[Route], path: str, notes: Notes | None, **headers: str) -> tuple[int, str]:
    """Status and error of one answer."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await watched(Starlette(routes=routes), [notes] if notes else [])(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


def failing(registry: CollectorRegistry) -> list[Route]:
    """A route of either kind, both of which fail."""

    @answering_errors
    async def endpoint(_request: object) -> Any:
        raise ZeroDivisionError

    metrics = HttpMetrics(registry)
    nobody = cast("OpenInference", object())
    inference = OpenInferenceRoutes(nobody, InFlight(), metrics, Offload("test", 1), max_body_bytes=1, seconds=1.0)
    return [*inference.routes(), counted(metrics, "/page", endpoint)]


@pytest.mark.parametrize("path", ["/v2/health/ready", "/page"])
@pytest.mark.parametrize("notes", [Notes(), None], ids=["watched", "unwatched"])
async def test_a_failure_of_ours_tells_the_caller_under_which_id_the_log_has_it(
    path: str, notes: Notes | None, caplog: pytest.LogCaptureFixture
) -> None:
    registry = CollectorRegistry()
    told = "the server failed on this request; its log says why (request id mine-1)"
    assert await get(failing(registry), path, notes, x_request_id="mine-1") == (500, told)
    (record,) = caplog.records
    assert (vars(record)["request_id"], record.getMessage()) == ("mine-1", f"{path} failed")
    assert registry.get_sample_value("digits_http_requests_total", {"route": path, "status": "500"}) == 1
    if notes:
        assert notes.answers[-1] == ("mine-1", 500)


async def test_a_made_up_id_is_the_same_for_the_watchers_the_log_and_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()
    _, error = await get(failing(CollectorRegistry()), "/page", notes, x_request_id="none of ours")
    ((request_id, _),) = notes.answers
    (record,) = caplog.records
    assert vars(record)["request_id"] == request_id
    assert f"(request id {request_id})" in error
