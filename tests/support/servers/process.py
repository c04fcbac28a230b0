"""Real servers for tests: the console script in a separate process, on free ports."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

SCRIPTS = Path(sysconfig.get_path("scripts"))
START_SECONDS = 120.0
"""Deadline for a server to listen and get ready; TensorFlow needs a dozen on a busy machine."""
STOP_SECONDS = 40.0

OVER_BOTH_TRANSPORTS = pytest.mark.parametrize("transport", ["grpcio", "native"], indirect=True, scope="module")
"""Marks a module whose promises hold over every transport."""

OVER_GRPCIO = pytest.mark.parametrize("transport", ["grpcio"], indirect=True, scope="module")
"""Marks a module with promises of grpcio only: TLS, and limits of connections."""


class ServerProcess:
    """`digits-server` on free ports. As a context manager: listening on entry, ended on exit."""

    def __init__(
        self, *flags: str | Path, environment: dict[str, str] | None = None, under: Sequence[str] = ()
    ) -> None:
        """`under` is a command that runs the server, in the same process or in front of it."""
        self.process = subprocess.Popen(
            [*under, SCRIPTS / "digits-server", "--grpc-port", "0", "--http-port", "0", "--log-format", "json", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(environment),
        )
        self.pids = {"server": self.process.pid}
        """The processes that serve: the server, and any process in front of it."""
        self.log: list[dict[str, Any]] = []
        self.stderr: list[str] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            listening = self.wait_for_log("listening")
        except BaseException:
            self.kill()
            raise
        self.target = f"127.0.0.1:{listening['grpc']}"
        self.http = f"http://127.0.0.1:{listening['http']}"
        self.web = self.http
        """Where callers find HTTP; metrics are at `http`."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if "COVERAGE_PROCESS_CONFIG" in os.environ:  # `make coverage`: a killed process forgets which lines it ran
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.kill()

    def wait_for_log(self, beginning: str) -> dict[str, Any]:
        """The next log record whose message begins with this; fails if the server ends or the deadline passes first."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            record = self._lines.get(timeout=max(0.001, deadline - time.monotonic()))
            assert record is not None, f"the server ended before it logged {beginning!r}: {''.join(self.stderr)}"
            if record["message"].startswith(beginning):
                return record

    def wait_ready(self) -> Self:
        self.wait_for_log("ready")
        return self

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """The exit code."""
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stderr
        self.process.stderr.close()

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.target)

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        """Status and body of one HTTP GET."""
        request = urllib.request.Request(self.http + path, headers={"accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def samples(self, name: str = "") -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of /metrics, or those whose names begin with `name`: (name, labels) → value.

        Parsing the whole page takes most of the time.
        """
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(name)]
        families = text_string_to_metric_families("\n".join([*lines, ""]))
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        wanted = labels.items()
        having_it = self.samples(name).items()
        return sum(value for (found, having), value in having_it if found == name and wanted <= having)

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.stderr.append(line)
            if line.startswith("{"):
                record = json.loads(line)
                self.log.append(record)
                self._lines.put(record)
        self._lines.put(None)


def run_server(*flags: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a `digits-server` that is expected to end by itself."""
    return subprocess.run(
        [SCRIPTS / "digits-server", "--grpc-port", "0", "--http-port", "0", *flags],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
        env=_environment(environment),
    )


def _environment(own: dict[str, str] | None) -> dict[str, str]:
    """The environment of the tests with `own` variables, without the one for training jobs."""
    return {name: value for name, value in os.environ.items() if name != "DIGITS_RUNS"} | (own or {})
