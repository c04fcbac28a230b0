"""A worker that hangs, ends or cannot start is replaced while the others serve."""

import os
import resource
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path

from support.calls.rpc import DEADLINE
from support.machine.processes import lives
from support.servers.process import OVER_BOTH_TRANSPORTS, ServerProcess, run_server
from support.servers.workers import CONNECTIONS, IMAGE, PREDICT, WORKERS, all_answer, connect, starting, workers
from support.waiting import until


@OVER_BOTH_TRANSPORTS
def test_a_killed_worker_is_replaced_while_the_other_serves_and_no_counter_goes_down(server: ServerProcess) -> None:
    all_answer(server)
    before = server.metric("grpc_server_handled_total", **PREDICT)
    victim = max(workers(server))
    os.kill(victim, signal.SIGKILL)
    assert server.wait_for_log("a worker ended")["end"] == "SIGKILL"
    all_answer(server)  # at once: the other worker still runs
    server.wait_for_log("worker ready")
    all_answer(server)
    assert before == CONNECTIONS
    assert server.metric("grpc_server_handled_total", **PREDICT) == 3 * CONNECTIONS
    assert victim not in workers(server)
    assert len(workers(server)) == WORKERS
    assert server.get("/readyz") == (200, "ready\n")
    assert server.metric("digits_worker_replacements_total", reason="ended") == 1


@OVER_BOTH_TRANSPORTS
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


def test_a_reason_why_workers_cannot_start_is_logged_once_with_exit_1(tmp_path: Path) -> None:
    ended = run_server("--repository", tmp_path / "nowhere", "--workers", str(WORKERS))
    assert ended.returncode == 1
    assert "no model repository" in ended.stderr.splitlines()[-1]
    assert [line for line in ended.stderr.splitlines() if line.startswith("Error: ")] == ended.stderr.splitlines()[-1:]
    assert "Traceback" not in ended.stderr
    assert "control socket" not in ended.stderr
