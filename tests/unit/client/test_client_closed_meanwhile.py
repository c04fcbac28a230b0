"""A client that is closed, or forked, at a moment that no test can hit with a server."""

import asyncio
import os
from typing import Any

import pytest

from digits_client import AsyncClient, Client, ClientClosed, Misused
from digits_client._calls import calling_threads
from digits_client._connection.connections import ThreadConnection

TARGET = "127.0.0.1:1"
"""Nothing is sent to it."""


class Counted(ThreadConnection):
    """A connection that does not forget whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


def test_a_client_closed_while_a_thread_connects_leaves_no_connection_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Counted] = []
    client = Client(TARGET)

    def connect(*arguments: Any) -> Counted:
        client.close()
        made.append(Counted(*arguments))
        return made[-1]

    monkeypatch.setattr(calling_threads, "ThreadConnection", connect)
    with pytest.raises(ClientClosed):
        client._connection()
    assert [each.closed for each in made] == [True]


def test_of_two_threads_that_connect_at_once_one_wins_and_the_other_uses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Counted] = []
    with Client(TARGET) as client:

        def connect(*arguments: Any) -> Counted:
            made.append(Counted(*arguments))
            if len(made) == 1:
                client._connection()  # another thread comes first
            return made[-1] if len(made) == 1 else made.pop()

        monkeypatch.setattr(calling_threads, "ThreadConnection", connect)
        used = client._connection()
        assert isinstance(used, Counted)
        assert (used.closed, made[0].closed) == (False, True)
        assert client._connection() is used


async def test_an_rpc_that_closing_has_cancelled_is_no_cancellation_of_its_task() -> None:
    client = AsyncClient(TARGET)

    async def cancelled(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await client._call(cancelled, None, 1.0, ())
    await client.close()
    with pytest.raises(ClientClosed):
        await client._call(cancelled, None, 1.0, ())


@pytest.mark.parametrize("error", [ValueError("Cannot invoke RPC on closed channel!"), ClientClosed()])
def test_a_call_on_a_closed_channel_says_that_the_client_is_closed(error: Exception) -> None:
    client = Client(TARGET)
    client.close()

    def refuse(*_: Any, **__: Any) -> None:
        raise error

    with pytest.raises(ClientClosed):
        client._call(refuse, None, 1.0, ())


async def test_a_connection_of_a_closed_client_begins_no_stream() -> None:
    client = AsyncClient(TARGET)
    connection = client._connection()
    await client.close()
    with pytest.raises(ClientClosed):
        await connection.begin_stream(iter(()), (), 1.0)


async def test_an_async_client_is_misused_in_a_forked_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async with AsyncClient(TARGET) as client:
        client._connection()
        child = os.getpid() + 1
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: child)
            with pytest.raises(Misused, match="fork"):
                client._connection()
