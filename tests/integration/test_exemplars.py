"""Latencies name traces: through the one page of several workers, to a query of a real Prometheus."""

import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.machine.processes import children
from support.programs.collector import Collector
from support.programs.prometheus import PrometheusProcess
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

CONNECTIONS = 24
"""So many that it is very unlikely (1 in 2²³) that one worker gets all of them."""

RPCS = 'grpc_server_handling_seconds_bucket{grpc_method="Predict"}'
REQUESTS = 'digits_http_request_seconds_bucket{route="/v2"}'


@pytest.fixture(scope="module")
def server(repository: Path, transport: str) -> Iterator[ServerProcess]:  # noqa: ARG001 - it is told by environment
    with Collector() as collector:
        flags = ("--repository", repository, "--workers", "2", "--tracing-endpoint", collector.endpoint)
        with ServerProcess(*flags) as running:
            yield running.wait_ready()


@pytest.fixture(scope="module")
def prometheus(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProcess]:
    with PrometheusProcess([server.http.removeprefix("http://")], tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def call(server: ServerProcess) -> list[str]:
    """One call and one request over each of many connections, one after the other; the traces they belong to."""
    traces = [secrets.token_hex(16) for _ in range(CONNECTIONS)]
    headers = [f"00-{trace}-{secrets.token_hex(8)}-01" for trace in traces]
    with ExitStack() as opened:
        for header in headers:
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = opened.enter_context(grpc.insecure_channel(server.target, options))
            metadata = (("traceparent", header),)
            PredictionServiceStub(channel).Predict(
                PredictRequest(images=bytes(784)), timeout=DEADLINE, metadata=metadata
            )
    for header in headers:
        request = urllib.request.Request(f"{server.http}/v2", headers={"traceparent": header})
        urllib.request.urlopen(request, timeout=DEADLINE).close()
    return traces


def examples(prometheus: PrometheusProcess, selector: str) -> list[dict[str, Any]]:
    """The exemplars of a series in Prometheus."""
    found = prometheus.get("query_exemplars", query=selector, start="0", end="9999999999")
    return [exemplar for series in found for exemplar in series["exemplars"]]


def test_prometheus_has_traces_for_examples_of_the_latencies_of_two_workers(
    server: ServerProcess, prometheus: PrometheusProcess
) -> None:
    sent: set[str] = set()

    def both_are_there() -> bool:
        sent.update(call(server))
        return all(examples(prometheus, selector) for selector in (RPCS, REQUESTS))

    until(both_are_there, "Prometheus has an exemplar of either latency")
    for selector in (RPCS, REQUESTS):
        found = examples(prometheus, selector)
        assert {exemplar["labels"]["trace_id"] for exemplar in found} <= sent
        assert all(0 < float(exemplar["value"]) < DEADLINE for exemplar in found)


@OVER_BOTH_TRANSPORTS
def test_the_example_of_a_bucket_is_its_latest_whichever_worker_answered(server: ServerProcess) -> None:
    assert len(children(server.process.pid)) == 2
    for _ in range(5):
        latest = call(server)[-1]
        page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")[1]
        lines = [line.partition("{")[0] for line in page.splitlines() if latest in line]
        assert lines == ["grpc_server_handling_seconds_bucket", "digits_http_request_seconds_bucket"]
