"""One worker of several: reports its state to the supervisor, and asks it about the whole server."""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from digits_server.transports.choice import Choice
from digits_server.workers.control import Channel, ChannelClosed
from digits_server.workers.metric_families import Families, to_families

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies. It stays set after exec."""

ANSWER_SECONDS = 5.0
"""Time for an answer of the supervisor, which gives workers less."""


class Worker:
    """The role of worker `number`. It is made first: from then on this process ends with its supervisor."""

    shares_ports = True

    def __init__(self, control_fd: int, number: int, supervisor_pid: int, *, joins: bool) -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != supervisor_pid:  # the parent died before the signal was set
            os._exit(1)
        self.joins = joins
        self.log_fields: dict[str, object] = {"worker": number}
        self._control = socket.socket(fileno=control_fd)
        self._channel = Channel(self._answer)

    async def begin(self, metrics: Any, ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._ready = ready
        self._control.set_inheritable(False)  # it had to stay open across exec, until now
        await self._channel.open(self._control.dup())
        self._reading = asyncio.create_task(self._channel.run())

    async def listening(self, host: str, grpc_port: int, http_port: int, transport: Choice) -> None:
        ports = {"grpc": grpc_port, "http": http_port}
        log.debug("this worker listens", extra={"host": host, **ports, "transport": transport.name})
        await self._tell("listening")

    async def serving(self) -> None:
        await self._tell("serving")

    def draining(self, grace: float) -> None:
        log.debug("this worker drains", extra={"grace_seconds": grace})

    def stopped(self) -> None:
        log.debug("this worker has stopped")

    def failed(self, message: str) -> None:
        """Tells the supervisor, which logs it once for all workers; blocking, because there may be no event loop."""
        with contextlib.suppress(OSError):
            self._control.sendall(
                json.dumps({"number": -1, "question": "failed", "argument": message}).encode() + b"\n"
            )

    async def metrics(self) -> Any:
        try:
            return Families(await self._channel.ask("metrics", seconds=ANSWER_SECONDS))
        except ChannelClosed as error:
            raise TimeoutError from error

    async def ready(self) -> bool:
        try:
            return bool(await self._channel.ask("ready", seconds=ANSWER_SECONDS))
        except (TimeoutError, ChannelClosed):
            return False

    async def _tell(self, event: str) -> None:
        with contextlib.suppress(TimeoutError, ChannelClosed):
            await self._channel.ask(event, seconds=ANSWER_SECONDS)

    async def _answer(self, _question: str, _argument: Any) -> Any:
        """Answers the supervisor's only question, "report", which is also its heartbeat."""
        return {"ready": self._ready(), "families": to_families(self._metrics.collect())}
