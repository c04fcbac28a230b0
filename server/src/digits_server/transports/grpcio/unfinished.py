"""Messages that have not arrived whole: beyond a limit, the one that began first is given up.

grpcio reads the one message of a call before it calls us, so nobody can end a call whose message never ends. When many
calls are in that state, further ones are read here instead, which costs more time for each call.
"""

import asyncio
from typing import Any

from grpc import aio

from digits_server.errors import Overloaded

RETRY_AFTER_MS = 1000
"""Milliseconds after which a caller whose message was given up may try again."""

USUAL_SECONDS = 0.25
"""No message is given up before this time: most have arrived long before, and are only waiting to be taken."""


class Unfinished:
    """Reads the messages of calls, at most `most` at once. Lives on the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._reading: dict[asyncio.Task[Any], float] = {}
        """When each began, in the order in which they did: event-loop time, seconds."""

    async def read(self, context: Any) -> bytes | None:
        """The message of a call; None if the call ends without a whole message.

        Raises Overloaded if it is given up for others.
        """
        reading = asyncio.ensure_future(context.read())
        self._make_room()
        self._reading[reading] = asyncio.get_running_loop().time()
        try:
            message = await reading
        except asyncio.CancelledError:
            call = asyncio.current_task()
            if call and call.cancelling():  # its caller has left
                raise
            raise Overloaded(
                f"messages of {self._most} calls have not arrived whole, and no more may be arriving "
                "(max_unfinished_bytes / max_message_bytes); this one began first",
                RETRY_AFTER_MS,
            ) from None
        finally:
            self._reading.pop(reading, None)
        return None if message is aio.EOF else bytes(message)

    def _make_room(self) -> None:
        """Gives up messages until there is a place for one more, or the others have just begun."""
        long_ago = asyncio.get_running_loop().time() - USUAL_SECONDS
        for reading, since in list(self._reading.items()):
            if len(self._reading) < self._most or since > long_ago:
                return
            del self._reading[reading]
            reading.cancel()
