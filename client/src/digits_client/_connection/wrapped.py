"""A channel whose methods are wrapped in our own methods."""

from collections.abc import Callable
from typing import Any

Wrap = Callable[[Any, str], Any]
"""A method of gRPC and its path, `/service/method` → the method that wraps it."""


class WrappedChannel:
    """The part of a channel that a stub needs. Streams stay unchanged unless there is a wrapper for them."""

    def __init__(self, channel: Any, unary: Wrap, stream: Wrap | None = None) -> None:
        self._channel = channel
        self._unary = unary
        self._stream = stream

    def unary_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        return self._unary(self._channel.unary_unary(path, *arguments, **options), path)

    def stream_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        method = self._channel.stream_stream(path, *arguments, **options)
        return self._stream(method, path) if self._stream else method
