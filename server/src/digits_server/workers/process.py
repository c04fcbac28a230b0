"""One worker process as its supervisor sees it: started, asked, found to hang, ended."""

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
"""Between two reports: what a worker counted since the last is lost when it is killed."""

REPORT_SECONDS = 1.0
"""What a worker has for a report that a page of metrics waits for; then its last one stands in."""

START_SECONDS = 120.0
"""What a worker has to say anything before it is ready. TensorFlow's import blocks it for long."""

LAST_WORDS_SECONDS = 1.0
"""To read what it said, once it has ended."""

READ_SECONDS = 0.1
"""To read what has come, when not the worker but this process was held up."""

ARGUMENTS = ("-P", "-m", "digits_server")  # -P: nothing is imported from the working directory


class WorkerProcess:
    """Worker `number`, from its start to its end. Starts at once; raises OSError when the system has no room for it.

    patience  seconds it may leave a question unanswered once it serves
    answer    what answers its own questions
    leave     what takes counts that it tells no more, though it lives
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
        """Whether it answers predictions now, as far as it has said."""
        self.served = False
        """Whether it ever did."""
        self.failure: str | None = None
        """Its own word on why it cannot start."""
        self.report: list[Family] = []
        """The last one it gave."""
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
        """Returns its exit code in the end, negative for a signal. Kills it when it hangs."""
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
        """Gets its report as it is now; the last one stays when that cannot be had within `seconds`."""
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
        """Asks for a report again and again, until one is not given."""
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
