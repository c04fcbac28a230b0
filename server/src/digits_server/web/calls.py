"""One HTTP request as a call: what is known of it beside its body, the bounds on it, and whether its caller waits."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from digits_server.errors import DeadlineExceeded, RequestTooLarge, Unavailable, Unimplemented

Answer = TypeVar("Answer")

POLITE = 4
"""A body is read to its end though it is too large, and thrown away, up to so many times the limit: a caller cut off
while it sends may never see the answer that says why."""


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A call that came over HTTP. `peer` is the address at the other end of its connection."""

    deadline: float | None
    peer: tuple[str, int] | None
    headers: Headers

    def metadata(self, name: str) -> str | None:
        values = self.headers.getlist(name)
        return values[-1] if values else None


async def read_body(request: Request, limit: int, deadline: float) -> bytes:
    """The body, of which at most `limit` bytes and a piece are kept.

    Raises RequestTooLarge, Unimplemented, or DeadlineExceeded when it has not come by then (event-loop time, seconds).
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unimplemented("compressed requests are not taken: send them with content-encoding identity")
    body = bytearray()
    size = 0
    try:
        async with asyncio.timeout_at(deadline):
            async for piece in request.stream():
                size += len(piece)
                if size > POLITE * limit:
                    break
                if size <= limit:
                    body += piece
                else:
                    body.clear()
    except TimeoutError as error:
        raise DeadlineExceeded("the body did not arrive in time (http_timeout)") from error
    if size > limit:
        raise RequestTooLarge(f"the body has {size} bytes or more; at most {limit} are taken (max_message_bytes)")
    return bytes(body)


async def while_connected(request: Request, work: Coroutine[Any, Any, Answer], deadline: float) -> Answer:
    """The result of `work`, which is cancelled when its caller leaves or at the deadline (event-loop time, seconds).

    The body must have been read. Raises ClientDisconnect or DeadlineExceeded then, and Unavailable when the server
    itself gives up the work.
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
