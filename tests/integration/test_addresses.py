"""Callers, probes and scrapers reach the server by IPv4 and by IPv6, according to --host."""

import urllib.request
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS


def predicts(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub = PredictionServiceStub(channel)
        return len(stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE, wait_for_ready=True).digits)


def page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}", timeout=DEADLINE) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_address_of_both_families_takes_calls_probes_and_scrapes(repository: Path, workers: str) -> None:
    with ServerProcess("--repository", repository, "--host", "::", "--workers", workers) as server:
        server.wait_ready()
        grpc_port, http_port = server.target.rpartition(":")[2], server.http.rpartition(":")[2]
        for host in ("127.0.0.1", "[::1]"):
            assert predicts(f"{host}:{grpc_port}") == 1
            assert page(f"{host}:{http_port}/readyz") == "ready\n"
            assert "grpc_server_handled_total" in page(f"{host}:{http_port}/metrics")


def test_an_address_may_have_the_brackets_of_a_url(repository: Path) -> None:
    with ServerProcess("--repository", repository, "--host", "[::1]") as server:
        server.wait_ready()
        assert predicts(f"[::1]:{server.target.rpartition(':')[2]}") == 1
        assert page(f"[::1]:{server.http.rpartition(':')[2]}/readyz") == "ready\n"
