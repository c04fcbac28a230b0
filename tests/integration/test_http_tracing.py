"""Spans of HTTP requests at a collector: the same as for calls, in the caller's trace."""

import http.client
import json
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from support.calls.rpc import DEADLINE
from support.programs.collector import Collector, attributes
from support.servers.process import ServerProcess
from support.waiting import until

INFER = "/v2/models/digits/infer"
INFER_ROUTE = "/v2/models/{name}/infer"
THREE = json.dumps(
    {"inputs": [{"name": "images", "datatype": "UINT8", "shape": [3, 784], "data": [0] * (3 * 784)}]}
).encode()
PICTURE = Path("docs/digit.png").read_bytes()


@pytest.fixture(scope="module")
def server(repository: Path, transport: str, collector: Collector) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    flags = (
        "--repository",
        repository,
        "--tracing-endpoint",
        collector.endpoint,
        "--access-log",
        "--http-timeout",
        "2",
    )
    with ServerProcess(*flags, environment={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as running:
        yield running.wait_ready()


def ask(
    server: ServerProcess, path: str, body: bytes | None = None, *, method: str | None = None, **headers: str
) -> tuple[int, str | None]:
    """The status and the request id of the answer."""
    request = urllib.request.Request(server.http + path, body, {"content-type": "image/png", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
            return reply.status, reply.headers["x-request-id"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["x-request-id"]


def caller(sampled: bool = True) -> tuple[str, str, str]:
    """A trace, the caller's span in it, and the header that says both."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-{'01' if sampled else '00'}"


@pytest.mark.parametrize(
    ("path", "route", "body", "images"),
    [(INFER, INFER_ROUTE, THREE, 3), ("/predict", "/predict", PICTURE, 1)],
    ids=["open inference", "the page"],
)
def test_a_request_is_a_child_of_its_callers_span_with_queue_batch_and_compute_below(  # noqa: PLR0917 - its cases
    server: ServerProcess, collector: Collector, path: str, route: str, body: bytes, images: int
) -> None:
    trace, parent, traceparent = caller()
    status, request_id = ask(server, f"{path}?secret=1", body, traceparent=traceparent)
    request, queue, batch, compute = collector.wait_for(trace, f"POST {route}", "queue", "batch", "compute")
    assert request.parent_span_id.hex() == parent
    assert request.kind == Span.SPAN_KIND_SERVER
    assert (queue.parent_span_id, batch.parent_span_id) == (request.span_id, request.span_id)
    assert compute.parent_span_id == batch.span_id
    assert attributes(batch)["digits.images"] == attributes(compute)["digits.images"] == images
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": status,
        "url.path": path,
        "digits.request_id": request_id,
    }
    assert status == 200
    begins = [span.start_time_unix_nano for span in (request, queue, batch, compute)]
    ends = [span.end_time_unix_nano for span in (queue, compute, batch, request)]
    assert begins == sorted(begins)
    assert ends == sorted(ends)


def test_the_log_line_of_a_request_names_its_trace(server: ServerProcess) -> None:
    trace, _, traceparent = caller()
    _, request_id = ask(server, "/v2", traceparent=traceparent)

    def lines() -> list[dict[str, object]]:
        return [record for record in server.log if record.get("request_id") == request_id]

    until(lambda: bool(lines()), "a line about the request")
    assert [line["trace_id"] for line in lines()] == [trace]


def test_a_refusal_is_no_error_of_ours_and_a_failure_to_serve_is(server: ServerProcess, collector: Collector) -> None:
    trace, _, traceparent = caller()
    assert ask(server, INFER, b"?", traceparent=traceparent)[0] == 400
    (refused,) = collector.wait_for(trace, f"POST {INFER_ROUTE}")
    assert attributes(refused)["http.response.status_code"] == 400
    assert refused.status.code == Status.STATUS_CODE_UNSET
    trace, _, traceparent = caller()
    connection = http.client.HTTPConnection(urlsplit(server.http).netloc, timeout=DEADLINE)
    connection.request("POST", INFER, headers={"content-length": "9", "traceparent": traceparent})  # and no body
    assert connection.getresponse().status == 504
    connection.close()
    (late,) = collector.wait_for(trace, f"POST {INFER_ROUTE}")
    assert late.status.code == Status.STATUS_CODE_ERROR


def test_no_caller_makes_up_names_of_spans(server: ServerProcess, collector: Collector) -> None:
    trace, _, traceparent = caller()
    assert ask(server, "/nowhere/at/all", method="CONJURE", traceparent=traceparent)[0] == 404
    (request,) = collector.wait_for(trace, "_OTHER")
    assert attributes(request)["http.request.method"] == "_OTHER"
    trace, _, traceparent = caller()
    assert ask(server, "/" + "x" * 5000, traceparent=traceparent)[0] == 404
    (request,) = collector.wait_for(trace, "GET")
    assert len(attributes(request)["url.path"]) == 200


def test_probes_scrapes_and_callers_that_do_not_sample_are_not_traced(
    server: ServerProcess, collector: Collector
) -> None:
    trace, _, traceparent = caller()
    unsampled, _, quietly = caller(sampled=False)
    ask(server, INFER, THREE, traceparent=quietly)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert ask(server, path, traceparent=traceparent)[0] == 200
    ask(server, "/v2", traceparent=traceparent)
    collector.wait_for(trace, "GET /v2")
    assert collector.trace(unsampled) == []


def test_latencies_carry_the_trace_of_an_example(server: ServerProcess, collector: Collector) -> None:
    trace, _, traceparent = caller()
    unsampled, _, quietly = caller(sampled=False)
    ask(server, "/predict", PICTURE, traceparent=traceparent)
    ask(server, "/v2", traceparent=quietly)
    collector.wait_for(trace, "POST /predict", "queue", "batch", "compute")
    page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")[1]
    (line,) = [line for line in page.splitlines() if trace in line]
    assert line.startswith("digits_http_request_seconds_bucket{")
    assert 'route="/predict"' in line
    assert unsampled not in page


def test_without_tracing_nothing_of_it_is_imported_and_answers_carry_no_id(repository: Path) -> None:
    code = "import sys, digits_server.app as app; sys.exit(any('opentelemetry' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=DEADLINE).returncode == 0
    with ServerProcess("--repository", repository) as server:
        server.wait_ready()
        assert ask(server, "/v2") == (200, None)
