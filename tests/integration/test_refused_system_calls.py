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
    "sched_setscheduler": ("EPERM", "EINVAL", "ENOSYS"),
    "setpriority": ("EPERM", "EACCES", "ENOSYS"),
    "getpriority": ("ENOSYS",),
    "prlimit64": ("EPERM", "ENOSYS"),
    "prctl": ("EPERM", "EINVAL"),
    "memfd_create": ("EPERM", "ENOSYS"),
    "sched_getaffinity": ("ENOSYS",),
    "sysinfo": ("EPERM",),
    "io_uring_setup": ("EPERM", "ENOSYS"),
    "close_range": ("ENOSYS",),
    "madvise": ("ENOSYS",),
    "mbind": ("EPERM", "ENOSYS"),
    "rseq": ("ENOSYS",),
}
"""Optional system calls of a server, and how sandboxes refuse them."""

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


@pytest.mark.parametrize(("call", "error"), [(call, error) for call, errors in REFUSED.items() for error in errors])
def test_a_server_starts_where_a_system_call_is_refused(repository: Path, call: str, error: str) -> None:
    serves(repository, refused([call], error))


@OVER_GRPCIO
@pytest.mark.parametrize("error", ["EPERM", "EINVAL", "EACCES", "ENOSYS"])
def test_a_server_over_grpcio_starts_where_every_such_call_is_refused(repository: Path, error: str) -> None:
    serves(repository, refused([call for call, errors in REFUSED.items() if error in errors], error))


@OVER_BOTH_TRANSPORTS
def test_a_server_starts_where_files_of_the_system_cannot_be_read(repository: Path) -> None:
    paths = [argument for path in FILES for argument in ("-P", path)]
    serves(repository, strace(*paths, "-e", "inject=openat:error=EACCES"))


def test_a_server_starts_at_a_low_priority_that_it_cannot_raise(repository: Path) -> None:
    serves(repository, ["nice", "-n", "15", "setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice"])
