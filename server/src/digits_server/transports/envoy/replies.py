"""What goes back to callers: gRPC's answers as the events of ASGI."""

from collections.abc import Awaitable, Callable
from typing import Any

from digits_server.errors import ServingError
from digits_server.transports import grpc_wire
from digits_server.transports.grpc_wire import CONTENT_TYPE, framed

Send = Callable[[dict[str, Any]], Awaitable[None]]

REPLY = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", CONTENT_TYPE)], "trailers": True}
END_OF_BODY = {"type": "http.response.body", "body": b""}
OK = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}


class Replies:
    """What goes back to one caller: headers with the first message, or with the status when there is none."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def only(self, message: bytes) -> None:
        """The one reply of a call that has one, and its end. Envoy's module takes it at once."""
        self.begun = True
        await self._send(REPLY)
        await self._send({"type": "http.response.body", "body": framed(message)})
        await self._send(OK)

    async def add(self, message: bytes) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": framed(message), "more_body": True})

    async def end(self) -> None:
        await self._begin()
        await self._send(END_OF_BODY)
        await self._send(OK)

    async def fail(self, error: ServingError) -> None:
        fields = grpc_wire.trailers(error)
        if self.begun:
            await self._send(END_OF_BODY)
            await self._send({"type": "http.response.trailers", "headers": fields})
        else:
            headers = [(b"content-type", CONTENT_TYPE), *fields]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send(END_OF_BODY)

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send(REPLY)
