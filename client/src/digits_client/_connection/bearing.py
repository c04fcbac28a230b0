"""The metadata and the token that every RPC of a client carries."""

import time
from collections.abc import Callable
from contextvars import copy_context
from threading import Event, RLock
from typing import Any

from digits_client._connection.metadata import Pairs, merged
from digits_client._connection.token_functions import TokenFunction, late, token_of
from digits_client._connection.tokens import Token
from digits_client._connection.wrapped import WrappedChannel
from digits_client._errors import ClientClosed


def bearer(token: str) -> Pairs:
    """The metadata of a token."""
    return (("authorization", f"Bearer {token}"),)


class Bearing:
    """The `metadata` to send, and a token that is fixed or comes from a function."""

    def __init__(self, token: Token | None, metadata: Pairs) -> None:
        self.fixed = (*metadata, *bearer(token)) if isinstance(token, str) else metadata
        self.tokens = TokenFunction(token) if callable(token) else None

    def over_threads(self, channel: Any) -> Any:
        """`channel`, wrapped so that its unary calls carry them."""
        return self._over(channel, _ThreadMethod)

    def over_tasks(self, channel: Any) -> Any:
        """The same for a channel of tasks."""
        return self._over(channel, _TaskMethod)

    def _over(self, channel: Any, with_tokens: "type[_Method]") -> Any:
        method = with_tokens if self.tokens else _Method
        return WrappedChannel(channel, lambda wrapped, _: method(wrapped, self)) if self else channel

    def of_stream(self, own: Pairs, timeout: float) -> Pairs:
        """The metadata of a stream, for a thread."""
        token = bearer(self.tokens.wait(timeout)) if self.tokens else ()
        return merged(self.fixed, own) + token

    async def of_stream_on_loop(self, own: Pairs, timeout: float) -> Pairs:  # of the token alone
        """The same for a task."""
        token = bearer(await self.tokens.wait_on_loop(timeout)) if self.tokens else ()
        return merged(self.fixed, own) + token

    def __bool__(self) -> bool:
        return bool(self.fixed or self.tokens)

    def close(self) -> None:
        if self.tokens:
            self.tokens.close()


class _Method:
    """A unary method, of a channel for threads or for tasks."""

    def __init__(self, method: Any, bearing: Bearing) -> None:
        self._method = method
        self._fixed = bearing.fixed
        self._tokens: Any = bearing.tokens

    @property
    def lacks_token(self) -> bool:
        """Whether any RPC still waits for its token."""
        return self._tokens is not None and self._tokens.busy

    def __call__(self, request: Any, *, timeout: float, metadata: Pairs = ()) -> Any:
        return self._method(request, timeout=timeout, metadata=merged(self._fixed, metadata))

    def future(self, request: Any, *, timeout: float, metadata: Pairs = ()) -> Any:
        return self._method.future(request, timeout=timeout, metadata=merged(self._fixed, metadata))


class _ThreadMethod(_Method):
    """With a token function, for threads."""

    def __call__(self, request: Any, *, timeout: float, metadata: Pairs = ()) -> Any:
        deadline = time.monotonic() + timeout
        token = self._tokens.wait(timeout)
        carried = merged(self._fixed, metadata) + bearer(token)
        return self._method(request, timeout=max(0.0, deadline - time.monotonic()), metadata=carried)

    def future(self, request: Any, *, timeout: float, metadata: Pairs = ()) -> "PendingCall":
        deadline = time.monotonic() + timeout

        def send(token: str) -> Any:
            carried = merged(self._fixed, metadata) + bearer(token)
            return self._method.future(request, timeout=max(0.0, deadline - time.monotonic()), metadata=carried)

        return PendingCall(self._tokens, send, deadline)


class _TaskMethod(_Method):
    """With a token function, for tasks."""

    async def __call__(self, request: Any, *, timeout: float, metadata: Pairs = ()) -> Any:  # gRPC's
        deadline = time.monotonic() + timeout
        token = await self._tokens.wait_on_loop(timeout)
        carried = merged(self._fixed, metadata) + bearer(token)
        return await self._method(request, timeout=max(0.0, deadline - time.monotonic()), metadata=carried)


class PendingCall:
    """An RPC that is sent when its token has arrived. It has the part of gRPC's futures that this package uses."""

    def __init__(self, tokens: TokenFunction, send: Callable[[str], Any], deadline: float) -> None:
        self._tokens = tokens
        self._send = send
        self._deadline = deadline
        self._lock = RLock()
        self._callbacks: list[Callable[[Any], None]] = []
        self._sent: Any = None
        self._failure: Exception | None = None
        self._cancelled = False
        self._context = copy_context()  # the sender's: it names the spans of a shared RPC
        self._answered = Event()
        self._asked = tokens.ask(self._take)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls it with this object once the RPC has ended, or cannot be sent."""
        with self._lock:
            if not self._answered.is_set():
                self._callbacks.append(callback)
                return
        self._watch(callback)

    def done(self) -> bool:
        if not self._answered.is_set():
            return time.monotonic() >= self._deadline
        return self._failure is not None or bool(self._sent.done())

    def cancel(self) -> None:
        self._cancelled = True
        if self._sent is not None:
            self._sent.cancel()
        else:
            self._tokens.forget(self._asked)
            self._asked.answer(ClientClosed("the call was cancelled before its token came"))

    def result(self) -> Any:
        """The reply. Raises what gRPC raises, or the DigitsError that kept the RPC from being sent."""
        if not self._answered.wait(max(0.0, self._deadline - time.monotonic())):
            self.cancel()
            raise late()
        if self._failure is not None:
            raise self._failure
        return self._sent.result()

    def _take(self, answer: Any) -> None:
        try:
            self._sent = self._context.run(self._send, token_of(answer))
            if self._cancelled:
                self._sent.cancel()
        except Exception as error:  # noqa: BLE001  # whatever it is belongs to the caller: a closed channel's ValueError
            self._failure = error
        with self._lock:
            self._answered.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._watch(callback)

    def _watch(self, callback: Callable[[Any], None]) -> None:
        if self._sent is None:
            callback(self)
        else:
            self._sent.add_done_callback(lambda _: callback(self))
