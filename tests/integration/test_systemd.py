"""The units of deploy/systemd: systemd finds no fault in them, and their programs work under their restrictions.

No test needs a running systemd: its own tools read the units, and the tests start their commands as systemd does.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from support.calls.rpc import DEADLINE
from support.calls.steady_load import SteadyLoad
from support.needs import need
from support.network.ports import free_port
from support.servers.process import SCRIPTS, ServerProcess
from support.servers.units import UNITS, Unit, environment, settings
from support.waiting import until

from deploy.envoy.on_this_machine import SHIPPED
from digits.v1.prediction_pb2 import PredictRequest
from digits.v1.prediction_pb2_grpc import PredictionServiceStub

ROOT = UNITS.parents[1]
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
EXPOSED = {"digits-server@.service": 1.5, "digits-training.service": 1.0, "digits-envoy.service": 1.5}
"""Highest allowed result of `systemd-analyze security`: 0 (isolated) to 10 (unprotected)."""
NO_WRITABLE_CODE = (
    "import ctypes, os, sys; "
    "assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0; "  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN (linux/prctl.h)
    "os.execv(sys.argv[1], sys.argv[1:])"
)
SHUT_IN = [sys.executable, "-c", NO_WRITABLE_CODE]
"""Runs a command as MemoryDenyWriteExecute does: no memory is ever writable and then executable."""

FREQUENT = {
    *("read", "write", "close", "openat", "newfstatat", "fstat", "lseek", "readlink", "getdents64", "ioctl", "futex"),
    *("mmap", "munmap", "mprotect", "madvise", "brk", "epoll_wait", "epoll_pwait", "rt_sigaction", "rt_sigprocmask"),
}
"""System calls that would make a traced server slow. They are assumed to be made."""


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A release as release.sh makes it, of links to what is installed here, and the shipped environment files."""
    for part in ("server", "training", "envoy"):
        (tmp_path / f"opt/{part}").mkdir(parents=True)
        for name in ("bin", "lib", "pyvenv.cfg"):
            (tmp_path / f"opt/{part}/{name}").symlink_to(SCRIPTS.parent / name)
    (tmp_path / "opt/envoy/share").symlink_to(SHIPPED)
    return {"/opt/digits/current": tmp_path / "opt", "/etc/digits": UNITS / "etc"}


def ran(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_finds_no_fault_in_the_units_and_their_users(tmp_path: Path, places: dict[str, Path]) -> None:
    need("systemd-analyze", "systemd-sysusers")
    units = [tmp_path / name for name in SERVICES]
    for unit in units:
        unit.write_text(
            (UNITS / unit.name).read_text().replace("/opt/digits/current", str(places["/opt/digits/current"]))
        )
    assert ran("systemd-analyze", "verify", "--man=no", *units) == ""
    users = ran("systemd-sysusers", "--dry-run", UNITS / "sysusers.conf")
    for user in {settings(UNITS / name)["User"][0] for name in SERVICES}:
        assert f"Creating user '{user}'" in users


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_the_units_shut_in(name: str) -> None:
    need("systemd-analyze")
    told = ran("systemd-analyze", "security", "--offline=true", "--no-pager", UNITS / name)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert float(exposure) <= EXPOSED[name]


def test_a_server_uses_no_system_call_and_no_network_that_its_unit_forbids(repository: Path, tmp_path: Path) -> None:
    need("systemd-analyze", "strace")
    trace = tmp_path / "trace"
    traced = ["-e", f"trace=!{','.join(sorted(FREQUENT))}", "-e", "signal=none"]
    strace = ["strace", "-D", "-f", "-qq", "-o", str(trace), "--seccomp-bpf", *traced]
    with ServerProcess("--repository", repository, "--transport", "native", under=strace) as server:
        predicted(server.wait_ready().target)
        server.terminate()
        assert server.wait() == 0
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text(errors="replace").splitlines()]
    used = {call for line in lines if (call := line.partition("(")[0]).isidentifier()}
    assert len(used) > 30
    assert (used | FREQUENT) - allowed_system_calls() == set()
    families = {family for line in lines for family in re.findall(r"^socket\((AF_\w+)", line)}
    assert families <= set(settings(UNITS / "digits-server@.service")["RestrictAddressFamilies"][0].split())


def allowed_system_calls() -> set[str]:
    """The names of the set that the units allow."""
    sets = ran("systemd-analyze", "syscall-filter", "--no-pager")
    members = {
        head: {line.strip() for line in body if line.startswith("    ") and not line.strip().startswith("#")}
        for head, *body in (part.splitlines() for part in re.split(r"\n(?=@)", sets))
    }

    def all_of(name: str) -> set[str]:
        found = {call for call in members[name] if not call.startswith("@")}
        return found.union(*(all_of(other) for other in members[name] if other.startswith("@")))

    return all_of("@system-service")


def predicted(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        PredictionServiceStub(channel).Predict(PredictRequest(images=bytes(784)), timeout=DEADLINE)


def ports() -> dict[str, str]:
    return {"DIGITS_GRPC_PORT": str(free_port()), "DIGITS_HTTP_PORT": str(free_port())}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_says_when_it_is_ready_and_when_it_stops(
    repository: Path, tmp_path: Path, places: dict[str, Path], workers: str
) -> None:
    own = {**ports(), "DIGITS_REPOSITORY": str(repository), "DIGITS_WORKERS": workers}
    with Unit("digits-server@a.service", tmp_path, places, own, under=SHUT_IN) as unit:
        unit.start()
        predicted(f"127.0.0.1:{own['DIGITS_GRPC_PORT']}")
        assert unit.stop() == 0
        assert unit.hears() == b"STOPPING=1"


def test_a_service_manager_that_is_gone_stops_no_server(repository: Path, tmp_path: Path) -> None:
    gone = {"NOTIFY_SOCKET": str(tmp_path / "gone")}
    with ServerProcess("--repository", repository, environment=gone) as server:
        server.wait_ready()
        server.wait_for_log("the service manager was not told")
        predicted(server.target)


@pytest.fixture
def pair(repository: Path, tmp_path: Path, places: dict[str, Path]) -> Iterator[tuple[list[Unit], str]]:
    """The units a and b that run, behind Envoy's unit; where Envoy takes calls."""
    with ExitStack() as closing:
        units, arguments = [], []
        for name in ("a", "b"):
            own = {**ports(), "DIGITS_REPOSITORY": str(repository)}
            arguments.append(f"{own['DIGITS_GRPC_PORT']}:{own['DIGITS_HTTP_PORT']}")
            unit = Unit(f"digits-server@{name}.service", tmp_path, places, own, under=SHUT_IN)
            units.append(closing.enter_context(unit).start())
        of_envoy = {name: free_port() for name in ("grpc", "web", "metrics", "admin")}
        flags = [f"--port {name}={port}" for name, port in of_envoy.items()]
        variables = {"ENVOY_ARGUMENTS": " ".join([*flags, *arguments])}
        envoy = Unit("digits-envoy.service", tmp_path, places, variables, under=SHUT_IN)
        closing.enter_context(envoy).execute()
        target = f"127.0.0.1:{of_envoy['grpc']}"
        until(lambda: answers(target), "Envoy answers", 120)
        yield units, target
        assert envoy.stop() == 0


def answers(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        call = PredictionServiceStub(channel).Predict.future(PredictRequest(images=bytes(784)), timeout=DEADLINE)
        return call.exception(timeout=DEADLINE) is None


def test_an_upgrade_unit_by_unit_loses_no_call(pair: tuple[list[Unit], str]) -> None:
    units, target = pair
    with SteadyLoad(target, 8) as load:
        load.wait_for_more(100)
        for unit in units:
            unit.restart()
        load.wait_for_more(100)
    assert load.outcomes.keys() == {"OK"}


def test_both_servers_have_ports_of_their_own_and_envoy_knows_them() -> None:
    of = [environment(UNITS / f"etc/{name}.env") for name in ("a", "b")]
    pairs = [f"{each['DIGITS_GRPC_PORT']}:{each['DIGITS_HTTP_PORT']}" for each in of]
    assert environment(UNITS / "etc/envoy.env")["ENVOY_ARGUMENTS"].split() == pairs
    taken = [port for each in of for port in each.values()]
    assert len(set(taken)) == len(taken)


def test_help_of_envoy_on_this_machine_needs_python_alone() -> None:
    told = without_packages("--help")
    assert told.returncode == 0
    assert told.stdout.startswith("usage:")
    missing = without_packages("1:2")
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1


def without_packages(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The output of on_this_machine.py with a Python that has only the standard library."""
    command = [sys.executable, "-S", str(SHIPPED / "on_this_machine.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
