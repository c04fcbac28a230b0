"""Messages that have not arrived whole: which one is given up, and when."""

import asyncio
from typing import Any

import pytest
from grpc import aio

from digits_server.errors import Overloaded
from digits_server.transports.grpcio import unfinished
from digits_server.transports.grpcio.unfinished import Unfinished


class Context:
    """A call whose message arrives when the test says so."""

    def __init__(self) -> None:
        self.message: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def read(self) -> Any:
        return await self.message


async def begun(messages: Unfinished, count: int) -> tuple[list[Context], list["asyncio.Task[bytes | None]"]]:
    """Calls whose messages are being read, in the order in which they began."""
    contexts = [Context() for _ in range(count)]
    tasks = []
    for context in contexts:
        tasks.append(asyncio.create_task(messages.read(context)))
        await asyncio.sleep(0)
    return contexts, tasks


async def test_the_oldest_messages_are_given_up_until_there_is_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "USUAL_SECONDS", 0.0)
    contexts, tasks = await begun(Unfinished(2), 4)
    for task in tasks[:2]:
        with pytest.raises(Overloaded, match="messages of 2 calls have not arrived whole"):
            await task
    for context in contexts[2:]:
        context.message.set_result(b"whole")
    assert await asyncio.gather(*tasks[2:]) == [b"whole"] * 2


async def test_no_message_is_given_up_that_has_just_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "USUAL_SECONDS", 3600.0)
    contexts, tasks = await begun(Unfinished(1), 5)
    for context in contexts:
        context.message.set_result(b"whole")
    assert await asyncio.gather(*tasks) == [b"whole"] * 5


async def test_a_caller_that_leaves_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "USUAL_SECONDS", 0.0)
    messages = Unfinished(1)
    _, (left,) = await begun(messages, 1)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert not messages._reading
    (context,), (task,) = await begun(messages, 1)
    context.message.set_result(b"whole")
    assert await task == b"whole"


async def test_a_call_that_ends_without_a_message_has_none() -> None:
    (context,), (task,) = await begun(Unfinished(1), 1)
    context.message.set_result(aio.EOF)
    assert await task is None
