"""One worker process, as its supervisor sees it: started, asked for reports, killed if it hangs, ended."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from digits_server.workers import process_role
from digits_server.workers.children import CONTROL_FD, Children
from digits_server.workers.control import Answer, Channel, ChannelClosed
from digits_server.workers.log_relay import Lines
from digits_server.workers.merging import Family, vanished

BEAT_SECONDS = 1.0
"""Time between two reports. Counts since the last report are lost if a worker is killed."""

REPORT_SECONDS = 1.0
"""How long a page of metrics waits for a report; then the previous report is used."""

START_SECONDS = 120.0
"""Longest silence of a worker before it is ready. Importing TensorFlow blocks it for a long time."""

LAST_WORDS_SECONDS = 1.0
"""Time to read its last messages after it has ended."""

READ_SECONDS = 0.1
"""Time to read messages that have already arrived, in case this process and not the worker was late."""

ARGUMENTS = ("-P", "-m", "digits_server")  # -P: import nothing from the working directory


class WorkerProcess:
    """Worker `number`, from its start to its end. Starts at once; raises OSError if the system cannot start a process.

    patience  seconds that a question may stay unanswered once the worker serves
    answer    answers its own questions
    leave     receives counts that the living worker no longer reports
    """

    def __init__(
        self,
        number: int,
        children: Children,
        environment: Mapping[str, str],
        patience: float,
        answer: Answer,
        *,
        leave: Callable[[list[Family]], None],
    ) -> None:
        self.number = number
        self.listens = self.hung = False
        self.serves = False
        """Whether it answers predictions now, by its last report."""
        self.served = False
        """Whether it ever answered predictions."""
        self.failure: str | None = None
        """Its own message why it cannot start."""
        self.report: list[Family] = []
        """Its last report."""
        self._patience = patience
        self._channel = Channel(answer)
        self._leave = leave
        told = {
            process_role.CONTROL_FD: str(CONTROL_FD),
            process_role.NUMBER: str(number),
            process_role.SUPERVISOR_PID: str(os.getpid()),
        }
        with ExitStack() as theirs, ExitStack() as ours:
            self._control, its_control = socket.socketpair()
            ours.enter_context(self._control)
            theirs.enter_context(its_control)
            log, its_log = os.pipe()
            self._log = ours.enter_context(os.fdopen(log, "rb", buffering=0))
            theirs.enter_context(os.fdopen(its_log, "wb"))
            self.pid, self._end = children.start(ARGUMENTS, {**environment, **told}, its_log, its_control.fileno())
            ours.pop_all()  # it runs: these stay open

    async def run(self) -> int:
        """Waits for its end and returns its exit code, negative for a signal. Kills it if it hangs."""
        await self._channel.open(self._control)
        reading = asyncio.create_task(self._channel.run())
        _, lines = await asyncio.get_running_loop().connect_read_pipe(lambda: Lines(sys.stderr.buffer), self._log)
        logging = asyncio.create_task(lines.ended.wait())
        beating = asyncio.create_task(self._beat())
        try:
            code = await asyncio.shield(self._end)
            await asyncio.wait((reading, logging), timeout=LAST_WORDS_SECONDS)
        finally:
            for task in (beating, reading, logging):
                task.cancel()
        return code

    async def renew(self, seconds: float) -> None:
        """Gets a new report; the last one stays if no answer comes within `seconds`."""
        with contextlib.suppress(TimeoutError, ChannelClosed):
            await self._ask(seconds)

    def signal(self, number: signal.Signals) -> None:
        if not self._end.done():
            os.kill(self.pid, number)

    async def _ask(self, seconds: float) -> None:
        answer: dict[str, Any] = await self._channel.ask("report", seconds=seconds)
        before, self.report = self.report, answer["families"]
        if forgotten := vanished(before, self.report):
            self._leave(forgotten)
        self.serves = answer["ready"]

    async def _beat(self) -> None:
        """Asks for reports until one is missing."""
        clock = asyncio.get_running_loop().time
        while True:
            asked = clock()
            try:
                await self._ask(self._patience if self.serves else START_SECONDS)
            except ChannelClosed:
                return
            except TimeoutError:
                await asyncio.sleep(READ_SECONDS)
                if self._channel.heard < asked:
                    self.hung = True
                    self.signal(signal.SIGKILL)
                    return
            await asyncio.sleep(BEAT_SECONDS)
