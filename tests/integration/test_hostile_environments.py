"""Restrictions of containers, clusters and full machines: the server serves, or says in one sentence why it cannot."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.models.repositories import copy_version
from support.network.ports import free_port
from support.servers.process import OVER_BOTH_TRANSPORTS, SCRIPTS, STOP_SECONDS, ServerProcess
from support.waiting import until

import digits_server
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

JUMPING_CLOCK = Path(__file__).parents[1] / "support/faults/jumping_clock"

LINKS = {
    "DIGITS_GRPC_PORT": "tcp://10.96.0.1:50051",
    "DIGITS_HTTP_PORT": "tcp://10.96.0.2:8080",
    "DIGITS_SERVER_PORT": "tcp://10.96.0.3:50051",
    "DIGITS_SERVER_SERVICE_HOST": "10.96.0.3",
}
"""The variables that Kubernetes sets for Services named digits-grpc, digits-http and digits-server."""


def serves(server: ServerProcess) -> None:
    with server.channel() as channel:
        reply = PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
    assert reply.model_version == 1


def said(server: ServerProcess, words: str) -> list[str]:
    return [record["message"] for record in server.log if words in record["message"]]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_variable_that_is_ignored_is_named_once_and_nothing_prevents_the_start(
    repository: Path, workers: str
) -> None:
    environment = {**LINKS, "DIGITS_MAX_QUEUESIZE": "7"}
    flags: list[str | Path] = ["--repository", repository, "--workers", workers, "--host", "0.0.0.0"]  # noqa: S104 - for a moment
    with ServerProcess(*flags, environment=environment) as server:
        serves(server.wait_ready())
        assert len(said(server, "enableServiceLinks: false")) == 2
        assert said(server, "DIGITS_MAX_QUEUESIZE") == [
            "DIGITS_MAX_QUEUESIZE is ignored: digits-server has no such setting; did you mean DIGITS_MAX_QUEUE_SIZE?"
        ]
        assert len(said(server, "neither TLS nor a list of tokens")) == 1


def test_a_server_for_this_machine_or_with_tokens_is_not_reported_as_open(repository: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-a-caller-4dAq1\n")
    for flags in (["--host", "127.0.0.1"], ["--host", "0.0.0.0", "--tokens", tokens]):  # noqa: S104 - for a moment
        with ServerProcess("--repository", repository, *flags) as server:
            server.wait_ready()
            assert said(server, "neither TLS") == []


def read_only(*writable_no_more: str) -> list[str]:
    """A command that runs a program with a read-only root, and with these folders read-only, too."""
    mounts = "".join(f"mount -t tmpfs -o ro none {folder} && " for folder in writable_no_more)
    return ["unshare", "--mount", "--", "sh", "-c", f'{mounts}mount -o remount,ro,bind / && exec "$@"', "sh"]


def test_a_read_only_root_is_enough(repository: Path) -> None:
    with ServerProcess("--repository", repository, under=read_only()) as server:
        serves(server.wait_ready())
        server.terminate()
        assert server.wait() == 0


@OVER_BOTH_TRANSPORTS
def test_with_nowhere_to_write_at_all_it_serves_or_says_so(repository: Path, transport: str) -> None:
    under = read_only("/dev/shm", "/run")  # noqa: S108 - made unusable
    if transport == "grpcio":
        with ServerProcess("--repository", repository, under=under) as server:
            serves(server.wait_ready())
        return
    ended = started_under(under, repository)
    assert ended.returncode == 1
    assert "TMPDIR" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def started_under(under: Sequence[str], repository: Path) -> "subprocess.CompletedProcess[str]":
    """A server that is expected to end by itself, run by a command."""
    flags: list[str | Path] = ["--repository", repository, "--grpc-port", "0", "--http-port", "0"]
    command: list[str | Path] = [*under, SCRIPTS / "digits-server", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=STOP_SECONDS, check=False)


@OVER_BOTH_TRANSPORTS
def test_a_disk_without_a_place_for_another_folder_is_one_sentence_or_no_matter(
    repository: Path, transport: str
) -> None:
    full = ["strace", "-D", "-f", "-qq", "-o", os.devnull, "-e", "trace=mkdir,mkdirat"]
    full += ["-e", "inject=mkdir,mkdirat:error=ENOSPC"]
    if transport == "grpcio":
        with ServerProcess("--repository", repository, under=full) as server:
            serves(server.wait_ready())
        return
    ended = started_under(full, repository)
    assert ended.returncode == 1
    assert "TMPDIR" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_on_a_full_disk_costs_no_call(repository: Path, workers: str) -> None:
    grpc_port, http_port = str(free_port()), str(free_port())
    ports = ["--grpc-port", grpc_port, "--http-port", http_port]
    flags: list[str | Path] = ["--repository", repository, "--workers", workers, "--access-log", *ports]
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen([SCRIPTS / "digits-server", *flags], stdout=full, stderr=full) as process,
    ):
        try:
            ask: list[str | Path] = [SCRIPTS / "digits-server", "health", "--http-port", http_port]
            until(lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0, "it is ready", 150)
            with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
                for _ in range(50):
                    PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()


@OVER_BOTH_TRANSPORTS
def test_a_long_tmpdir_is_no_hindrance(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    with ServerProcess("--repository", repository, environment={"TMPDIR": str(folder)}) as server:
        serves(server.wait_ready())
        server.terminate()
        assert server.wait() == 0
    assert list(folder.iterdir()) == []


@OVER_BOTH_TRANSPORTS
def test_a_clock_that_jumps_by_years_costs_no_call_and_no_new_version(repository: Path, tmp_path: Path) -> None:
    """Deadlines, turns, polls of the repository and the drain use a monotonic clock."""
    copy_version(repository, tmp_path, 1)
    flags: list[str | Path] = ["--repository", tmp_path, "--poll-interval", "0.02", "--access-log"]
    with ServerProcess(*flags, environment={"PYTHONPATH": str(JUMPING_CLOCK)}) as server, server.channel() as channel:
        server.wait_ready()
        stub = PredictionServiceStub(channel)

        def version() -> int:
            return stub.Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE).model_version

        assert {version() for _ in range(50)} == {1}
        copy_version(repository, tmp_path, 2)
        until(lambda: version() == 2, "the new version answers", 120)
        assert server.get("/readyz")[0] == 200
        assert {record["time"][:3] for record in server.log} >= {"201", "203"}  # the clock does jump
        server.terminate()
        assert server.wait() == 0


def test_no_wait_uses_the_wall_clock() -> None:
    """Except for log lines and traces, which need the time of day."""
    package = Path(digits_server.__file__).parent
    wall = re.compile(r"\btime\.time\b|\btime_ns\b|import time, |from time import (.*, )?time\b|\bdatetime\b|utcnow")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if wall.search(path.read_text())}
    assert found == {
        "commands/check.py",  # for how many days a certificate is valid
        "observability/collectors.py",  # when an exemplar was observed
        "observability/logs.py",
        "observers/tracing.py",
    }
