"""Questions and answers between the supervisor and a worker, both ways over one socket, one JSON object per line."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Most bytes of one question or answer; the largest are metrics, some tens of kilobytes."""

Answer = Callable[[str, Any], Awaitable[Any]]
"""(question, argument) → answer, all of types that JSON has."""


class ChannelClosed(Exception):
    """The other side has closed the socket."""


class Channel:
    """One end of the socket. Lives on the event loop.

    answer  answers the other side's questions; each in a separate task, started in the order of arrival
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._open = False
        self.heard = 0.0
        """When the other side last sent anything, a time of the event loop's clock."""

    async def open(self, connection: socket.socket) -> None:
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_LINE_BYTES)
        self._open = True

    async def ask(self, question: str, argument: Any = None, *, seconds: float) -> Any:
        """The other side's answer. Raises TimeoutError after `seconds`, or ChannelClosed."""
        if not self._open:
            raise ChannelClosed
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                self._send({"number": number, "question": question, "argument": argument})
                return await self._asked[number]
        finally:
            del self._asked[number]

    async def run(self) -> None:
        """Reads until the other side closes the socket."""
        try:
            while line := await self._reader.readline():
                self.heard = asyncio.get_running_loop().time()
                self._take(json.loads(line))
        except ConnectionResetError:  # it closed with unread data: a normal end
            pass
        except (OSError, ValueError) as error:  # a line too long, or cut off
            log.error("the control socket failed: %r", error)
        finally:
            self._open = False
            self._writer.close()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_exception(ChannelClosed())

    def _take(self, message: dict[str, Any]) -> None:
        if "question" in message:
            task = asyncio.create_task(self._reply(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (asked := self._asked.get(message["number"])) and not asked.done():  # the question may have timed out
            asked.set_result(message["answer"])

    async def _reply(self, message: dict[str, Any]) -> None:
        answer = await self._answer(message["question"], message["argument"])
        if self._open:
            self._send({"number": message["number"], "answer": answer})

    def _send(self, message: dict[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
