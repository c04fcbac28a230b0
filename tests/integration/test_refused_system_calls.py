"""Sandboxes refuse system calls: optional calls must not prevent the start. strace makes them fail."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.calls.rpc import DEADLINE
from support.needs import need
from support.servers.process import OVER_BOTH_TRANSPORTS, OVER_GRPCIO, ServerProcess

from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

REFUSED = {
    "EPERM": (
        ("sched_setscheduler", "memfd_create", "mbind"),
        ("setpriority", "io_uring_setup", "sysinfo"),
        ("prlimit64",),
        ("prctl",),
    ),
    "EINVAL": (("sched_setscheduler",), ("prctl",)),
    "EACCES": (("setpriority",),),
    "ENOSYS": (
        ("sched_setscheduler", "prlimit64", "madvise"),
        ("setpriority", "memfd_create", "mbind"),
        ("getpriority", "io_uring_setup", "close_range"),
        ("sched_getaffinity", "rseq"),
    ),
}
"""How sandboxes refuse optional system calls of a server. The calls of one row serve different purposes, so that no
refusal keeps the server from making another call of its row."""

FILES = ("/proc/self/statm", "/proc/self/oom_score_adj", "/proc/self/stat", "/proc/self/limits", "/proc/cpuinfo")


def strace(*injection: str) -> list[str]:
    """A command that runs a program whose system calls fail; the program keeps the process id of the command."""
    need("strace")
    return ["strace", "-D", "-f", "-qq", "-o", os.devnull, *injection]


def refused(calls: Sequence[str], error: str) -> list[str]:
    """A command that runs a program for which these system calls fail with this error."""
    names = ",".join(calls)
    return strace("--seccomp-bpf", "-e", f"trace={names}", "-e", f"inject={names}:error={error}")


def serves(repository: Path, under: Sequence[str], *flags: str) -> None:
    with ServerProcess("--repository", repository, *flags, under=under) as server, server.channel() as channel:
        server.wait_ready()
        reply = PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)
        assert reply.model_version == 1
        server.terminate()
        assert server.wait() == 0
        assert "Traceback" not in "".join(server.stderr)


@pytest.mark.parametrize(("error", "calls"), [(error, calls) for error, rows in REFUSED.items() for calls in rows])
def test_a_server_starts_where_system_calls_are_refused(repository: Path, error: str, calls: Sequence[str]) -> None:
    serves(repository, refused(calls, error))


@OVER_GRPCIO
@pytest.mark.parametrize("error", REFUSED)
def test_a_server_over_grpcio_starts_where_every_such_call_is_refused(repository: Path, error: str) -> None:
    serves(repository, refused([call for calls in REFUSED[error] for call in calls], error))


@OVER_BOTH_TRANSPORTS
def test_a_server_starts_where_files_of_the_system_cannot_be_read(repository: Path) -> None:
    paths = [argument for path in FILES for argument in ("-P", path)]
    serves(repository, strace(*paths, "-e", "inject=openat:error=EACCES"))


def test_a_server_starts_at_a_low_priority_that_it_cannot_raise(repository: Path) -> None:
    serves(repository, ["nice", "-n", "15", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"])
