"""The fast transport: HTTP/2 and gRPC framing in Rust, outside Python's lock; calls arrive in batches.

Only this package knows the library, pygrpc-native. One thread receives all calls. It answers Predict calls of pixels
itself, batch by batch, and passes all other calls to the event loop, many at a time. The library cannot carry streams
of requests; they go to grpcio through a Unix socket.

The library reads a message of any size completely before it passes it on. So this transport is for callers on this
machine, or behind a proxy that bounds messages.
"""

from collections.abc import Sequence
from typing import Any

Metadata = Sequence[tuple[str, str | bytes]]

Event = tuple[int, int, int, Any, Any, Any]
"""An event of the library: kind, call, method, message, key of the client, (metadata, peer, seconds left)."""


def last_value(metadata: Metadata, name: str) -> str | None:
    """The last value of `name`; None if there is no value."""
    values = [value for key, value in metadata if key == name]
    return str(values[-1]) if values else None
