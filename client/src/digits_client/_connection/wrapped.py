"""A channel whose methods are wrapped in methods of ours."""

from collections.abc import Callable
from typing import Any

Wrap = Callable[[Any, str], Any]
"""A method of gRPC's and its path, `/service/method` → the method that stands before it."""


class WrappedChannel:
    """What a stub needs of a channel. Streams stay as they are unless there is a wrapper for them."""

    def __init__(self, channel: Any, unary: Wrap, stream: Wrap | None = None) -> None:
        self._channel = channel
        self._unary = unary
        self._stream = stream

    def unary_unary(self, path: str, *arguments: Any, **options: Any) -> Any:
        return self._unary(self._channel.unary_unary(path, *arguments, **options), path)

    def stream_stream(self, path: str, *arguments: Any, **options: Any) -> Any:
        method = self._channel.stream_stream(path, *arguments, **options)
        return self._stream(method, path) if self._stream else method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)
