"""The ends of calls, as the library sends them."""

from pygrpc_native import NativeGrpcFront

from digits_server.errors import Overloaded, ServingError

PUSHBACK = "digits-retry-pushback-ms"
"""The metadata that says when a rejected caller can try again. The library reserves every name that begins with grpc-,
including the usual grpc-retry-pushback-ms."""


class Replies:
    """Ends calls by their ids. Without effect on a call whose caller has left."""

    def __init__(self, front: NativeGrpcFront) -> None:
        self._front = front
        self.respond = front.respond
        """Sends the reply of a call with a single answer."""

    def fail(self, call: int, error: ServingError) -> None:
        """Ends a call with an error."""
        trailers = [(PUSHBACK, str(error.retry_after_ms))] if isinstance(error, Overloaded) else []
        self._front.fail(call, int(error.status), error.message, trailers)
