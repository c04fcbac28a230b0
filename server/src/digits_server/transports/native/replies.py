"""The replies of calls: sent at once, and kept during a stop until connections are closed."""

from collections.abc import Callable
from functools import partial

from pygrpc_native import NativeGrpcFront

from digits_server.errors import Overloaded, ServingError

PUSHBACK = "digits-retry-pushback-ms"
"""The metadata that says when a rejected caller can try again. The library reserves every name that begins with grpc-,
including the usual grpc-retry-pushback-ms."""


class Replies:
    """Ends calls by their ids.

    When the library is closed, it ends every call that it still has, and only then tells clients to go elsewhere. So
    replies are kept for a moment before: callers that wait for them send no more calls, and read them together with the
    end of the connection.
    """

    def __init__(self, front: NativeGrpcFront) -> None:
        self.respond: Callable[[int, bytes], object] = front.respond
        """Sends the reply of a call."""
        self._front = front
        self._kept: list[Callable[[], object]] | None = None

    def fail(self, call: int, error: ServingError) -> None:
        """Ends a call with an error."""
        trailers = [(PUSHBACK, str(error.retry_after_ms))] if isinstance(error, Overloaded) else []
        send = partial(self._front.fail, call, int(error.status), error.message, trailers)
        if self._kept is None:
            send()
        else:
            self._kept.append(send)

    def keep(self) -> None:
        """From now on, replies are kept."""
        kept = self._kept = []
        self.respond = lambda call, reply: kept.append(partial(self._front.respond, call, reply))

    def release(self) -> None:
        """Sends the replies that were kept. From now on, replies are sent at once."""
        kept, self._kept = self._kept or [], None
        self.respond = self._front.respond
        for send in kept:
            send()
