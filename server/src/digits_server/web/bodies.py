"""Bodies of requests as they arrive: the size of each is bounded, and the total size of all unfinished ones."""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from digits_server.errors import DeadlineExceeded, RequestTooLarge, Unavailable, Unimplemented
from digits_server.web.errors import Crowded

POLITE = 4
"""A body that is too large is still read and discarded, up to so many times the limit: a caller whose connection is cut
while it sends may never see the answer that says why."""

RETRY_AFTER_MS = 1_000
"""Milliseconds after which a rejected caller may try again."""


@dataclass(eq=False, slots=True)
class _Upload:
    """An unfinished body. `scope` ends at its deadline."""

    scope: asyncio.Timeout
    body: bytearray = field(default_factory=bytearray)
    given_up: bool = False

    def give_up(self) -> None:
        """Frees its memory; the caller gets an error."""
        self.given_up = True
        self.body = bytearray()
        self.scope.reschedule(asyncio.get_running_loop().time())


class Bodies:
    """Reads bodies. Lives on the event loop.

    max_bytes  largest size of one body
    max_all    bytes that all unfinished bodies may hold together; beyond it, the one that began first is dropped
    """

    def __init__(self, max_bytes: int, max_all: int) -> None:
        self._max_bytes = max_bytes
        self._max_all = max_all
        self._uploads: dict[_Upload, None] = {}  # in the order in which they began
        self._held = 0
        self._closed = False

    def close(self) -> None:
        """The server stops: rejects the bodies that are unfinished now, and those that begin later."""
        self._closed = True
        for upload in self._uploads:
            if not upload.scope.expired():
                self._held -= len(upload.body)
                upload.give_up()

    async def read(self, request: Request, deadline: float) -> bytes:
        """The whole body.

        Raises RequestTooLarge, Unimplemented, DeadlineExceeded if it has not arrived by then (event-loop time,
        seconds), Crowded if it was dropped in favour of others, and Unavailable once closed.
        """
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Unimplemented("compressed requests are not accepted: send content-encoding identity")
        if self._closed:
            raise Unavailable("the server has stopped")
        scope = asyncio.timeout_at(deadline)
        upload = _Upload(scope)
        try:
            async with scope:
                self._uploads[upload] = None
                return await self._read(request, upload)
        except TimeoutError as error:
            if self._closed:
                raise Unavailable("the server has stopped before the body had arrived") from error
            if upload.given_up:
                raise Crowded(
                    f"unfinished bodies hold {self._max_all} bytes (max_waiting_bytes), and this one began first",
                    RETRY_AFTER_MS,
                ) from error
            raise DeadlineExceeded("the body did not arrive in time (http_timeout)") from error
        finally:
            self._uploads.pop(upload, None)
            self._held -= len(upload.body)

    async def _read(self, request: Request, upload: _Upload) -> bytes:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > self._max_bytes:
                self._held -= len(upload.body)
                upload.body = bytearray()
                if size > POLITE * self._max_bytes:
                    break
            else:
                self._held += len(piece)
                upload.body += piece
                self._make_room(upload)
        if size > self._max_bytes:
            raise RequestTooLarge(
                f"the body has {size} bytes or more; at most {self._max_bytes} are accepted (max_message_bytes)"
            )
        return bytes(upload.body)

    def _make_room(self, newest: _Upload) -> None:
        """Drops the bodies that began first, until the others fit. Alone, a body may have all and more."""
        while self._held > self._max_all:
            first = next((upload for upload in self._uploads if upload.body and upload is not newest), None)
            if first is None:
                return
            self._held -= len(first.body)
            del self._uploads[first]
            first.give_up()
