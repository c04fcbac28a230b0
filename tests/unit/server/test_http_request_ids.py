"""If the server itself fails on an HTTP request, its log and its caller have the same request id."""

import json
from typing import Any

import pytest

from digits_server.observability.metrics import Metrics
from digits_server.security.access import Access
from digits_server.security.authentication import Guard
from digits_server.web.doors import Doors
from digits_server.web.interceptors import WatchedRequest, watched
from digits_server.web.origins import Origins
from digits_server.web.places import Places
from digits_server.web.routes import Route


class Notes:
    """A watcher that keeps the calls it sees."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []

    def arrived(self, request: WatchedRequest) -> None:
        assert request.status == 0

    def answered(self, request: WatchedRequest, seconds: float) -> None:
        assert seconds >= 0
        self.answers.append((request.request_id, request.status))


async def get(application: Doors, path: str, notes: Notes | None, **headers: str) -> tuple[int, str]:
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

    await watched(application, [notes] if notes else [])(scope, receive, send)
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


def failing(metrics: Metrics) -> Doors:
    """An application that fails on every request."""

    async def endpoint(_request: object) -> Any:
        raise ZeroDivisionError

    return Doors(
        [Route("/page", endpoint, Access.CALLERS), Route("/health", endpoint, Access.PROBES)],
        guard=Guard(None, None, open_paths=[]),
        origins=Origins([]),
        places=Places(1, metrics.http.connection_closed),
        metrics=metrics.http,
        rejections=metrics.rejections,
        failures=metrics.failures,
    )


@pytest.mark.parametrize("path", ["/health", "/page"])
@pytest.mark.parametrize("notes", [Notes(), None], ids=["watched", "unwatched"])
async def test_a_failure_of_ours_tells_the_caller_under_which_id_the_log_has_it(
    path: str, notes: Notes | None, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    told = "the server failed on this request; its log says why (request id mine-1)"
    assert await get(failing(metrics), path, notes, x_request_id="mine-1") == (500, told)
    (record,) = caplog.records
    assert (vars(record)["request_id"], record.getMessage()) == ("mine-1", f"{path} failed")
    value = metrics.registry.get_sample_value
    assert value("digits_http_requests_total", {"route": path, "status": "500"}) == 1
    assert value("digits_rejected_total", {"reason": "internal"}) == 1
    if notes:
        assert notes.answers[-1] == ("mine-1", 500)


async def test_a_made_up_id_is_the_same_for_the_watchers_the_log_and_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes = Notes()
    _, error = await get(failing(Metrics()), "/page", notes, x_request_id="none of ours")
    ((request_id, _),) = notes.answers
    (record,) = caplog.records
    assert vars(record)["request_id"] == request_id
    assert f"(request id {request_id})" in error


async def test_a_failure_is_logged_in_full_once_however_often_it_is_brought_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    application = failing(metrics)
    for _ in range(100):
        assert (await get(application, "/page", None))[0] == 500
    in_full, again = caplog.records  # the second one represents all further ones within some seconds
    assert in_full.exc_info
    assert not again.exc_info
    assert metrics.registry.get_sample_value("digits_rejected_total", {"reason": "internal"}) == 100
