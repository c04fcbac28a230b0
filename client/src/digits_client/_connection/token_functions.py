"""A function that returns the current token.

It is called for each RPC, outside of gRPC's threads and of the event loop.

If the function blocks, only its own call may suffer, up to its timeout; gRPC's threads and the event loop also serve
other calls. So the function runs in a few separate threads; an `async` function runs on the event loop of its
AsyncClient.
"""

import asyncio
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from queue import Empty, SimpleQueue
from threading import RLock
from typing import Any

from digits_client import _limits
from digits_client._connection.tokens import checked
from digits_client._errors import ClientClosed, DeadlineExceeded, DigitsError, InvalidInput, Unauthenticated, caused


class Ask:
    """One call of the function. It gets one answer: from the function, or from the end of the client."""

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = [then]
        self.context = copy_context()

    def answer(self, value: Any) -> None:
        try:
            then = self._then.pop()
        except IndexError:
            return
        then(value)


class TokenFunction:
    """Gets tokens from `function`. Each answer is a string, or the DigitsError to raise."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._lock = RLock()  # a signal handler may call while its thread holds it
        self._waiting: deque[Ask] = deque()
        self._running: set[Ask] = set()
        self._threads = 0
        self._tasks: set[asyncio.Future[Any]] = set()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a call waits for an answer."""
        return bool(self._waiting or self._running or self._tasks)

    def ask(self, then: Callable[[Any], None]) -> Ask:
        """Returns at once. `then` gets the answer in a thread of this object, or in that of `close`."""
        asked = Ask(then)
        with self._lock:
            self._waiting.append(asked)
            starts = self._threads < _limits.TOKEN_THREADS
            self._threads += starts
        if self._closed:
            self.close()
        elif starts:
            try:
                start_new_thread(self._work, ())
            except RuntimeError as error:  # the system cannot start a thread
                self._threads -= 1
                self.forget(asked)
                asked.answer(_failure(error))
        return asked

    def forget(self, asked: Ask) -> None:
        """The answer is no longer wanted."""
        with self._lock:
            if asked in self._waiting:
                self._waiting.remove(asked)

    def wait(self, timeout: float) -> str:
        """The token, for a thread. DeadlineExceeded if it is late, Unauthenticated if the function fails."""
        answers: SimpleQueue[Any] = SimpleQueue()
        asked = self.ask(answers.put)
        try:
            answer = answers.get(timeout=timeout)
        except Empty:
            answer = late()
        finally:
            self.forget(asked)
        return token_of(answer)

    async def wait_on_loop(self, timeout: float) -> str:  # the timeout of the RPC
        """The same for a task. The function may be asynchronous, or return something to await."""
        deadline = time.monotonic() + timeout
        if is_async(self._function):
            value: Any = self._called()
        else:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[Any] = loop.create_future()
            asked = self.ask(lambda value: _set(loop, future, value))
            try:
                value = await self._within(future, deadline)
            finally:
                self.forget(asked)
        return token_of(await self._within(value, deadline) if isawaitable(value) else value)

    def close(self) -> None:
        """Fails all calls that wait for a token with ClientClosed."""
        self._closed = True
        with self._lock:
            asked = [*self._waiting, *self._running]
            self._waiting.clear()
            self._running.clear()
        for each in asked:
            each.answer(ClientClosed())
        for task in list(self._tasks):
            task.cancel()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                asked = self._waiting.popleft()
                self._running.add(asked)
            value = asked.context.run(self._called)
            with self._lock:
                self._running.discard(asked)
            asked.answer(value)
            del value

    def _called(self) -> Any:
        try:
            return self._function()
        except BaseException as error:  # noqa: BLE001  # it must reach the caller, whatever it is
            return _failure(error)

    async def _within(self, awaitable: Awaitable[Any], deadline: float) -> Any:
        """The result of an awaitable, or its failure. If it ignores its cancellation, it is abandoned."""
        task = asyncio.ensure_future(awaitable)
        self._tasks.add(task)
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, deadline - time.monotonic()))
        finally:
            self._tasks.discard(task)
            if not task.done():
                task.cancel()
        if self._closed:
            raise ClientClosed
        if not done:
            raise late()
        if task.cancelled():
            return _failure(asyncio.CancelledError("it was cancelled"))
        return _failure(error) if (error := task.exception()) else task.result()


def is_async(function: Any) -> bool:
    """Whether the function is defined as a coroutine function."""
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def late() -> DigitsError:
    """The error of a call whose token did not arrive in time."""
    message = "the token function gave no token within the timeout of the call"
    return caused(DeadlineExceeded(message), TimeoutError("the token function has not returned"))


def token_of(value: Any) -> str:
    """The answer as a token. Raises it if it is an error."""
    if isinstance(value, DigitsError):
        raise value
    try:
        if isawaitable(value):
            if iscoroutine(value):
                value.close()
            raise InvalidInput("an asynchronous token function needs an AsyncClient")
        return checked(value)
    except InvalidInput as error:
        raise _failure(error) from error


def _failure(error: BaseException) -> Unauthenticated:
    failure = Unauthenticated(f"the token function failed: {str(error) or type(error).__name__}")
    failure.__cause__ = error
    return failure


def _set(loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Any]", value: Any) -> None:
    def settle() -> None:
        if not future.done():
            future.set_result(value)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop was closed meanwhile: no task waits
        if iscoroutine(value):
            value.close()
