"""The role of a process within its server: the whole server, or one worker of several."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

import click

from digits_server.system import service_manager
from digits_server.transports.choice import Choice

log = logging.getLogger(__name__)

CONTROL_FD = "DIGITS_WORKER_CONTROL_FD"
NUMBER = "DIGITS_WORKER_NUMBER"
SUPERVISOR_PID = "DIGITS_WORKER_SUPERVISOR_PID"
JOINS = "DIGITS_WORKER_JOINS"
"""Environment variables from the supervisor to a worker: the descriptor of the socket between them; the worker's
number; the process with which it ends; not empty if other workers already serve."""


class Role(Protocol):
    """How a process reports its state, and answers for the whole server."""

    shares_ports: bool
    """Whether other processes of the same server listen on its ports."""

    joins: bool
    """Whether other processes serve already. Then this one listens only once it has a model."""

    log_fields: dict[str, object]
    """Fields of each of its log lines."""

    async def begin(self, metrics: Any, ready: Callable[[], bool]) -> None:
        """The server is composed: its metrics, as a Prometheus registry, and whether it is `ready`."""
        ...

    async def listening(self, host: str, grpc_port: int, http_port: int, transport: Choice) -> None:
        """Both ports are open, that for gRPC with this transport."""
        ...

    async def serving(self) -> None:
        """Predictions are answered."""
        ...

    def draining(self, grace: float) -> None:
        """The server drains: calls in flight have `grace` seconds."""
        ...

    def stopped(self) -> None:
        """Everything has ended."""
        ...

    def failed(self, message: str) -> None:
        """It cannot start; `message` is one line for the operator."""
        ...

    async def metrics(self) -> Any:
        """The metrics of the whole server, as a Prometheus collector. Raises TimeoutError."""
        ...

    async def ready(self) -> bool:
        """Whether the whole server answers predictions."""
        ...


class Alone:
    """The whole server is this process."""

    shares_ports = joins = False
    log_fields: dict[str, object] = {}  # noqa: RUF012 - never changed; a Protocol wants an instance's type

    async def begin(self, metrics: Any, ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._ready = ready

    async def listening(self, host: str, grpc_port: int, http_port: int, transport: Choice) -> None:
        log.info("listening", extra={"host": host, "grpc": grpc_port, "http": http_port, **transport.fields})

    async def serving(self) -> None:
        log.info("ready")
        service_manager.tell(service_manager.READY)

    def draining(self, grace: float) -> None:
        log.info("draining", extra={"grace_seconds": grace})
        service_manager.tell(service_manager.STOPPING)

    def stopped(self) -> None:
        log.info("stopped")

    def failed(self, message: str) -> None:
        click.ClickException(message).show(sys.stderr)

    async def metrics(self) -> Any:
        return self._metrics

    async def ready(self) -> bool:
        return self._ready()


def own_role() -> Role:
    """The role of this process. Call it once."""
    if CONTROL_FD not in os.environ:
        return Alone()
    from digits_server.workers.worker import Worker

    return Worker(
        control_fd=int(os.environ[CONTROL_FD]),
        number=int(os.environ[NUMBER]),
        supervisor_pid=int(os.environ[SUPERVISOR_PID]),
        joins=bool(os.environ.get(JOINS)),
    )
