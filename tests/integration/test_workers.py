"""Several worker processes are one server: one pair of ports, one page of metrics, one readiness, one end."""

import os
import resource
import shutil
import signal
import socket
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support.processes import children, connections, lives
from support.rpc import DEADLINE, status_of
from support.servers import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.waiting import until

from digits.v1.prediction_pb2 import PredictRequest, PredictResponse
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

pytestmark = OVER_BOTH_TRANSPORTS

WORKERS = 2
CONNECTIONS = 24
"""So many that all of them at one worker are no chance to reckon with: 1 in 2²³."""
PREDICT = {"grpc_service": "digits.v1.PredictionService", "grpc_method": "Predict"}
IMAGE = PredictRequest(images=bytes(784))


@pytest.fixture
def server(repository: Path) -> Iterator[ServerProcess]:
    """A server of each test's own."""
    with starting(repository) as running:
        yield running.wait_ready()


def starting(repository: Path, *flags: str) -> ServerProcess:
    return ServerProcess("--repository", repository, "--workers", str(WORKERS), *flags)


def workers(server: ServerProcess) -> set[int]:
    return children(server.process.pid)


def connect(server: ServerProcess, count: int, opened: ExitStack) -> list[PredictionServiceStub]:
    """So many stubs, each with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [opened.enter_context(grpc.insecure_channel(server.target, options)) for _ in range(count)]
    return [PredictionServiceStub(channel) for channel in channels]


def all_answer(server: ServerProcess, count: int = CONNECTIONS) -> None:
    """One call over each of `count` new connections."""
    with ExitStack() as opened:
        for stub in connect(server, count, opened):
            assert len(stub.Predict(IMAGE, timeout=DEADLINE).digits) == 1


def slow_request(pictures: int) -> PredictRequest:
    """Keeps a worker busy for a tenth of a second or more for each picture to decode."""
    picture = Image.new("L", (4000, 4000), 255)
    ImageDraw.Draw(picture).line((2000, 900, 2000, 3100), fill=0, width=300)
    file = BytesIO()
    picture.save(file, "PNG")
    return PredictRequest(image_files=[file.getvalue()] * pictures)


def begin_slow_calls(
    server: ServerProcess, opened: ExitStack, *, pictures: int
) -> Sequence["grpc.Future[PredictResponse]"]:
    """So many, over as many connections, that every worker has some to do."""
    request = slow_request(pictures)
    calls = [stub.Predict.future(request, timeout=DEADLINE) for stub in connect(server, 8, opened)]
    until(lambda: server.metric("grpc_server_started_total", **PREDICT) == len(calls), "all calls have arrived")
    return calls


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


def test_one_page_accounts_for_exactly_what_all_workers_answered(
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
        """Over a connection of its own, which leads to any worker."""
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


def test_the_page_of_all_is_openmetrics_for_who_asks_for_it(server: ServerProcess) -> None:
    all_answer(server)
    status, page = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    families = {
        family.name: family
        for family in text_string_to_metric_families(page)  # type: ignore[no-untyped-call]
    }
    answered = sum(sample.value for sample in families["digits_predictions"].samples)
    assert answered == CONNECTIONS


def test_a_killed_worker_is_replaced_while_the_other_serves_and_no_counter_goes_down(server: ServerProcess) -> None:
    all_answer(server)
    before = server.metric("grpc_server_handled_total", **PREDICT)
    victim = max(workers(server))
    os.kill(victim, signal.SIGKILL)
    assert server.wait_for_log("a worker ended")["end"] == "SIGKILL"
    all_answer(server)  # at once: the other is still there
    server.wait_for_log("worker ready")
    all_answer(server)
    assert before == CONNECTIONS
    assert server.metric("grpc_server_handled_total", **PREDICT) == 3 * CONNECTIONS
    assert victim not in workers(server)
    assert len(workers(server)) == WORKERS
    assert server.get("/readyz") == (200, "ready\n")
    assert server.metric("digits_worker_replacements_total", reason="ended") == 1


def test_a_worker_that_joins_others_listens_only_once_it_has_a_model(server: ServerProcess) -> None:
    os.kill(max(workers(server)), signal.SIGKILL)
    server.wait_for_log("a worker ended")

    def asked_until_replaced() -> bool:
        """Whether both workers serve again; every new connection until then must be answered."""
        with ExitStack() as opened:
            for stub in connect(server, 4, opened):
                stub.Predict(IMAGE, timeout=DEADLINE)
        return server.metric("digits_workers_ready") == WORKERS

    until(asked_until_replaced, "the worker is replaced", 120)


def test_a_worker_that_cannot_be_started_is_tried_again_and_costs_no_other(server: ServerProcess) -> None:
    supervisor, (victim, other) = server.process.pid, sorted(workers(server))
    limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (1, limits[1]))  # nothing more can be opened
    os.kill(victim, signal.SIGKILL)
    assert server.wait_for_log("a worker cannot be started")["error"] == "Too many open files"
    assert server.wait_for_log("a worker cannot be started")["level"] == "error"
    assert lives(other)
    with ExitStack() as opened:
        (stub,) = connect(server, 1, opened)
        stub.Predict(IMAGE, timeout=DEADLINE)
    resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
    until(lambda: server.metric("digits_workers_ready") == WORKERS, "the worker is replaced", 120)
    assert other in workers(server)


def test_a_worker_that_hangs_is_noticed_and_replaced(repository: Path) -> None:
    with starting(repository, "--worker-timeout", "2") as server:
        server.wait_ready()
        all_answer(server)
        assert server.metric("grpc_server_handled_total", **PREDICT) == CONNECTIONS
        victim = max(workers(server))
        os.kill(victim, signal.SIGSTOP)
        assert server.wait_for_log("a worker did not answer and was killed")["pid"] == victim
        server.wait_for_log("worker ready")
        all_answer(server)
        assert server.metric("grpc_server_handled_total", **PREDICT) == 2 * CONNECTIONS
        assert server.metric("digits_worker_replacements_total", reason="hung") == 1
        assert not lives(victim)


def test_a_worker_that_cannot_come_back_is_tried_again_and_until_then_the_server_is_not_ready(
    repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository, tmp_path / "models")
    with starting(tmp_path / "models") as server:
        server.wait_ready()
        tmp_path.joinpath("models").rename(tmp_path / "away")
        os.kill(max(workers(server)), signal.SIGKILL)
        server.wait_for_log("a worker ended")
        assert "no model repository" in server.wait_for_log("a worker ended")["end"]
        assert server.get("/readyz") == (503, "not ready\n")
        until(lambda: len(workers(server)) < WORKERS, "a moment in which only the other one listens")
        all_answer(server, 1)
        tmp_path.joinpath("away").rename(tmp_path / "models")
        until(lambda: server.get("/readyz")[0] == 200, "it has come back")
        all_answer(server)


def test_sigterm_answers_what_is_in_flight_in_every_worker_and_exits_0(server: ServerProcess) -> None:
    pids = workers(server)
    with ExitStack() as opened:
        calls = begin_slow_calls(server, opened, pictures=4)
        server.terminate()
        assert all(len(call.result(timeout=DEADLINE).digits) == 4 for call in calls)
        assert server.wait() == 0
    assert not any(map(lives, pids))


def test_a_stop_cuts_off_none_of_the_callers_in_the_middle_of_it(server: ServerProcess) -> None:
    def call_until_refused(stub: PredictionServiceStub) -> str:
        while True:
            call = stub.Predict.future(IMAGE, timeout=DEADLINE)
            if error := call.exception(timeout=DEADLINE):
                return status_of(error)[0]

    with ExitStack() as opened, ThreadPoolExecutor(12) as callers:
        ends = callers.map(call_until_refused, connect(server, 12, opened))
        until(lambda: server.metric("digits_predictions_total") > 50, "the callers are under way")
        server.terminate()
        assert server.wait() == 0
        assert set(ends) == {"UNAVAILABLE"}


def test_a_second_sigterm_ends_every_process_at_once(repository: Path) -> None:
    with starting(repository, "--shutdown-grace", "3000") as server, ExitStack() as opened:
        server.wait_ready()
        pids = workers(server)
        begin_slow_calls(server, opened, pictures=16)
        server.terminate()
        server.wait_for_log("draining")
        server.terminate()
        assert server.wait() == -signal.SIGTERM
        until(lambda: not any(map(lives, pids)), "all workers have ended")


def test_a_killed_supervisor_leaves_no_worker_behind_not_even_one_that_hangs(server: ServerProcess) -> None:
    pids = workers(server)
    os.kill(max(pids), signal.SIGSTOP)
    server.process.kill()
    until(lambda: not any(map(lives, pids)), "all workers have ended")


def test_what_keeps_the_workers_from_starting_is_said_once_and_exit_1(tmp_path: Path) -> None:
    ended = run_server("--repository", tmp_path / "nowhere", "--workers", str(WORKERS))
    assert ended.returncode == 1
    assert "no model repository" in ended.stderr.splitlines()[-1]
    assert [line for line in ended.stderr.splitlines() if line.startswith("Error: ")] == ended.stderr.splitlines()[-1:]
    assert "Traceback" not in ended.stderr
    assert "control socket" not in ended.stderr


@pytest.mark.parametrize("flag", ["--grpc-port", "--http-port"])
def test_a_port_is_shared_with_nobody_else_however_they_listen(repository: Path, flag: str) -> None:
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
