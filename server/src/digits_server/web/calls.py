"""One HTTP request as a call: everything except its body, and whether its caller still waits."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from digits_server.errors import DeadlineExceeded, Unavailable

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A call that came over HTTP. `peer` is the address at the other end of its connection."""

    deadline: float | None
    peer: tuple[str, int] | None
    headers: Headers

    def metadata(self, name: str) -> str | None:
        values = self.headers.getlist(name)
        return values[-1] if values else None


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer], deadline: float) -> Answer:
    """The result of `work`, which is cancelled when its caller leaves or at the deadline (event-loop time, seconds).

    The body must have been read. Raises ClientDisconnect or DeadlineExceeded then, and Unavailable if the server
    itself cancels the work.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.ensure_future(request.receive())
    seconds = deadline - asyncio.get_running_loop().time()
    try:
        await asyncio.wait((working, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect if leaving.done() else DeadlineExceeded("no answer was ready in time (http_timeout)")
        if working.cancelled():
            raise Unavailable("the server is draining")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        del working, leaving, task  # an error's traceback keeps this frame, and with it the body
