"""Several worker processes are one server: one pair of ports, one page of metrics."""

import socket
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.calls.rpc import DEADLINE
from support.machine.processes import connections
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.servers.workers import CONNECTIONS, IMAGE, PREDICT, WORKERS, all_answer, connect, starting, workers
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS


def test_the_connections_are_spread_over_all_workers_and_each_answers(server: ServerProcess) -> None:
    port = int(server.target.rpartition(":")[2])
    with ExitStack() as opened:
        for stub in connect(server, CONNECTIONS, opened):
            assert len(stub.Predict(IMAGE, timeout=DEADLINE).digits) == 1
        held = {pid: connections(pid, port) for pid in workers(server)}
    assert len(held) == WORKERS
    assert sum(held.values()) == CONNECTIONS
    assert all(held.values())
    logged = Counter(record.get("worker") for record in server.log if record["message"] == "model version 1 serves")
    assert logged == {number + 1: 1 for number in range(WORKERS)}


def test_one_page_counts_exactly_the_answers_of_all_workers(
    server: ServerProcess, test_images: NDArray[np.uint8]
) -> None:
    sizes = [1] * 60 + [3] * 30 + [1100] * 2

    def call(stub: PredictionServiceStub, size: int) -> NDArray[np.int64]:
        reply = stub.Predict(PredictRequest(images=test_images[:size].tobytes()), timeout=DEADLINE)
        return np.bincount(reply.digits, minlength=10)

    with ExitStack() as opened, ThreadPoolExecutor(16) as callers:
        stubs = connect(server, len(sizes), opened)
        digits = sum(callers.map(call, stubs, sizes))
    page = server.samples()
    for digit in range(10):
        key = ("digits_predictions_total", frozenset({("model_version", "1"), ("digit", str(digit))}))
        assert page[key] == np.asarray(digits)[digit]
    assert server.metric("digits_prediction_confidence_count") == sum(sizes)
    assert server.metric("digits_batch_size_sum") == sum(sizes)
    assert server.metric("grpc_server_started_total", **PREDICT) == len(sizes)
    assert server.metric("grpc_server_handled_total", grpc_code="OK", **PREDICT) == len(sizes)
    assert server.metric("grpc_server_handling_seconds_count", **PREDICT) == len(sizes)
    assert server.metric("digits_queue_images") == 0
    assert server.metric("digits_model_info", model_version="1") == 1
    assert server.metric("digits_workers_ready") == WORKERS


def test_the_web_page_is_answered_by_all_workers_and_counted_as_one(
    server: ServerProcess, test_images: NDArray[np.uint8]
) -> None:
    file = BytesIO()
    Image.fromarray(test_images[0]).save(file, "PNG")

    def ask(path: str, body: bytes | None) -> bytes:
        """Over a new connection, which leads to any worker."""
        request = urllib.request.Request(server.http + path, body, {"content-type": "image/png"})
        with urllib.request.urlopen(request, timeout=DEADLINE) as reply:
            return bytes(reply.read())

    paths = {"/": None, "/model": None, "/model/1/report/history.png": None, "/predict": file.getvalue()}
    for path, body in paths.items():
        assert len({ask(path, body) for _ in range(CONNECTIONS)}) == 1, f"all workers answer {path} alike"
    for route in ("/", "/model", "/model/{version:int}/report/{name}", "/predict"):
        assert server.metric("digits_http_requests_total", route=route, status="200") == CONNECTIONS
        assert server.metric("digits_http_request_seconds_count", route=route) == CONNECTIONS
    assert server.metric("digits_predictions_total") == CONNECTIONS


def test_the_page_of_all_workers_is_openmetrics_on_request(server: ServerProcess) -> None:
    all_answer(server)
    status, page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    families = {
        family.name: family
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    }
    answered = sum(sample.value for sample in families["digits_predictions"].samples)
    assert answered == CONNECTIONS


@pytest.mark.parametrize("flag", ["--grpc-port", "--http-port"])
def test_a_port_is_shared_with_no_other_program_however_it_listens(repository: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = str(taken.getsockname()[1])
        ended = run_server("--repository", repository, "--workers", str(WORKERS), flag, port)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}: is the port taken?" in ended.stderr.splitlines()[-1]


def test_of_two_servers_that_start_on_one_port_in_the_same_moment_one_gets_it(repository: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    start = partial(starting, repository, "--grpc-port", port)
    with ThreadPoolExecutor(2) as starters:
        both = [future.result() for future in [starters.submit(start), starters.submit(start)]]
    with ExitStack() as ending:
        for server in both:
            ending.callback(server.kill)
        until(lambda: any(server.process.poll() is not None for server in both), "one has given up")
        loser, winner = sorted(both, key=lambda server: server.process.poll() is None)
        assert loser.wait() == 1
        assert f"127.0.0.1:{port}: is the port taken?" in loser.stderr[-1]
        winner.wait_ready()
