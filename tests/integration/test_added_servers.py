"""An added server gets calls from callers that were already busy, as `--max-connection-age` promises.

Kubernetes' headless Service is a name with an address for each ready server. A caller that never pauses does not
resolve it again until a server ends its connection.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from support.calls.rpc import DEADLINE
from support.network.names import NameServer
from support.network.ports import free_port
from support.servers.process import ServerProcess
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

FIRST, ADDED = "127.0.0.1", "127.0.0.2"
OPTIONS = [
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 100),  # 30 s by default
    ("grpc.use_local_subchannel_pool", 1),
]


@contextmanager
def server(repository: Path, host: str, port: int, *flags: str) -> Iterator[ServerProcess]:
    where = ("--host", host, "--grpc-port", str(port), "--transport", "grpcio")
    with ServerProcess("--repository", repository, *where, *flags) as running:
        running.http = running.http.replace(FIRST, host)
        yield running.wait_ready()


@contextmanager
def busy_caller(target: str) -> Iterator[list[str]]:
    """Calls without a pause; the statuses of calls that failed."""
    stopping, failed = threading.Event(), list[str]()

    def call() -> None:
        with grpc.insecure_channel(target, OPTIONS) as channel:
            stub = PredictionServiceStub(channel)
            while not stopping.is_set():
                try:
                    stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
                except grpc.RpcError as error:
                    failed.append(f"{error.code().name}: {error.details()}")

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield failed
    finally:
        stopping.set()
        thread.join()


def calls(running: ServerProcess) -> float:
    return running.metric("grpc_server_handled_total", grpc_method="Predict")


def test_a_server_that_is_added_gets_calls_from_a_caller_that_never_pauses_and_no_call_is_lost(
    repository: Path,
) -> None:
    port = free_port()
    age = ("--max-connection-age", "1")
    with (
        server(repository, FIRST, port, *age) as first,
        NameServer(FIRST) as names,
        busy_caller(names.target(port)) as failed,
    ):
        until(lambda: calls(first) > 10, "the caller is busy")
        with server(repository, ADDED, port, *age) as added:
            names.addresses = [FIRST, ADDED]
            until(lambda: calls(added) > 10, "the server that was added gets calls")
            answered = calls(first)
            until(lambda: calls(first) > answered + 10, "the first goes on")
            names.addresses = [FIRST]
            added.terminate()
            assert added.wait() == 0
    assert failed == []
