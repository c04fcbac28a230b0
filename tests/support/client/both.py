"""Both clients behind one blocking interface, so that each promise is written once and tested for both."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from digits_client import AsyncClient, Client, Stats

Connect = Callable[..., Client]
DEADLINE = 60.0
"""Deadline of any call of a client, in seconds."""


@contextmanager
def connecting(kind: str) -> Iterator[Connect]:
    """Makes clients of `kind`, "sync" or "async", with the parameters of `Client`; closes them at the end."""
    clients: list[Any] = []

    def connect(*arguments: Any, **settings: Any) -> Client:
        clients.append((Client if kind == "sync" else Blocking)(*arguments, **settings))
        return cast(Client, clients[-1])

    try:
        yield connect
    finally:
        for client in clients:
            client.close()
            if isinstance(client, Blocking):
                client.end()


class Blocking:
    """An AsyncClient on an event loop in a separate thread; each method blocks its caller until it is done."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self.client = AsyncClient(*arguments, **settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **settings: Any) -> Any:
            result = method(*arguments, **settings)
            return self._each(result) if isinstance(result, AsyncGenerator) else self._run(result)

        return call

    def stats(self) -> Stats:
        """On the client's own event loop."""

        async def taken() -> Stats:
            return self.client.stats()

        return cast(Stats, self._run(taken()))

    def end(self) -> None:
        """Ends the event loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    def _each(self, iterator: AsyncGenerator[Any]) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(iterator, end)

        try:
            while (item := self._run(following())) is not end:
                yield item
        finally:
            self._run(iterator.aclose())
