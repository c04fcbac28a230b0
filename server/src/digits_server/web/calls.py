"""One HTTP request as a call: what is known of it beside its body, the bounds on it, and whether its caller waits."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from digits_server.errors import RequestTooLarge, Unavailable, Unimplemented

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A call that came over HTTP. `peer` is the address at the other end of its connection."""

    deadline: float | None
    peer: tuple[str, int] | None
    headers: Headers

    def metadata(self, name: str) -> str | None:
        return self.headers.get(name)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, never more than `limit` bytes of it and a piece. Raises RequestTooLarge or Unimplemented."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unimplemented("compressed requests are not taken: send them with content-encoding identity")
    length = request.headers.get("content-length", "0")
    if int(length) > limit:  # h11 lets no other than digits pass
        raise _too_large(length, limit)
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise _too_large(f"{len(body)} or more", limit)
    return bytes(body)


async def while_connected(request: Request, work: Awaitable[Answer]) -> Answer:
    """The result of `work`, which is cancelled when the caller leaves: then ClientDisconnect is raised.

    The body must have been read. Raises Unavailable when the server itself gives up the work.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        if working.cancelled():
            raise Unavailable("the server is draining")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


def _too_large(length: str, limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body has {length} bytes; at most {limit} are taken (max_message_bytes)")
