"""One running server: started on its own cores, timed to its first answer, asked, and ended with all its processes."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from benchmarks.common.cores import on_cores
from benchmarks.common.paths import PYTHONPATH, ROOT
from benchmarks.loads.protocols import Images
from benchmarks.servers.catalogue import Server
from benchmarks.servers.process_tree import family

START_LIMIT = 60.0  # seconds to the first answer
STOP_LIMIT = 10.0  # seconds from SIGTERM to SIGKILL
PORTS = 3  # Triton needs ports for HTTP and metrics too
ENVIRONMENT = {
    "PYTHONPATH": PYTHONPATH,
    "OMP_NUM_THREADS": "1",  # every server has one core; more threads would only fight for it
    "OPENBLAS_NUM_THREADS": "1",
}
CHANNEL = [
    ("grpc.initial_reconnect_backoff_ms", 20),  # a start-up is timed by asking again and again
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 20),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]


class DidNotStart(Exception):
    """The server ended, or gave no answer within the limit."""


class Running:
    """Use it as a context manager: leaving ends every process of the server."""

    def __init__(self, server: Server, cores: str, log: Path) -> None:
        self.server = server
        self.port = free_port()
        self._log = log
        with log.open("wb") as output:
            self._begin = time.perf_counter()
            self._process = subprocess.Popen(
                on_cores(cores, server.command(self.port)),
                cwd=ROOT,
                env=os.environ | ENVIRONMENT | server.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,  # its session is how stray children are found again
            )
        self._channel = grpc.insecure_channel(self.address, options=CHANNEL)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, images: Images) -> bytes:
        """The reply message to one request."""
        method: Any = self._channel.unary_unary(self.server.protocol.method)  # bytes in, bytes out
        reply: bytes = method(self.server.protocol.request(images), timeout=10.0)
        return reply

    def first_answer(self, images: Images) -> float:
        """Seconds from exec to the first answer to `images`. Raises DidNotStart."""
        while time.perf_counter() - self._begin < START_LIMIT:
            if self._process.poll() is not None:
                raise DidNotStart(f"exit code {self._process.returncode}: {self._last_line()}")
            try:
                self.call(images)
            except grpc.RpcError:  # not listening, or no model yet
                time.sleep(0.01)
            else:
                return time.perf_counter() - self._begin
        raise DidNotStart(f"no answer in {START_LIMIT:.0f} s: {self._last_line()}")

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT)
        for pid in family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(STOP_LIMIT)


def free_port() -> int:
    """The first of `PORTS` neighbouring free ports."""
    for first in range(17000, 18000, PORTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + PORTS):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise DidNotStart("no free port from 17000 to 18000")
