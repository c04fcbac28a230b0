"""A probe that asks without a pause, to measure how long the event loop is blocked."""

import threading
import time
from types import TracebackType
from typing import Self

from support.servers.process import ServerProcess
from support.wire.raw_http import connect, request


class Probe:
    """Requests /healthz again and again on a separate connection; keeps the longest wait, in seconds."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.longest = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        asked = request("GET", "/healthz").replace(b"connection: close\r\n", b"")
        with connect(self._server, seconds=60) as connection:
            while not self._stopping.wait(0.0005):
                begin = time.perf_counter()
                connection.sendall(asked)
                assert connection.recv(4096)
                self.longest = max(self.longest, time.perf_counter() - begin)
