"""Functions that give tokens: which each client takes, where they run, and what an answer that is not a token costs."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
from support.client.both import Connect, connecting
from support.client.every_call import CALLS, tokens
from support.client.scripted import Gate, ScriptedServer
from support.pictures.pixels import IMAGE
from support.waiting import until

from digits_client import Client, Coalescing, InvalidInput, Unauthenticated

TOKEN = "a-token-of-a-function"  # noqa: S105 - known to tests only


async def asynchronous() -> str:
    await asyncio.sleep(0)
    return TOKEN


def awaitable() -> Awaitable[str]:
    return asynchronous()


class Vault:
    async def __call__(self) -> str:
        return await asynchronous()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(
    "function",
    [asynchronous, Vault(), awaitable, lambda: TOKEN],
    ids=["async", "object", "awaitable", "plain"],
)
def test_an_async_client_awaits_its_token(
    script: ScriptedServer, call: Callable[[Client], object], function: Callable[[], Any]
) -> None:
    with connecting("async") as connect:
        assert call(connect(script.target, token=function))
    assert tokens(script) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("function", [asynchronous, Vault()], ids=["async", "object"])
def test_a_client_for_threads_refuses_an_asynchronous_function_at_once(function: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput, match="AsyncClient"):
        Client("localhost:1", token=function)


def test_a_client_for_threads_says_so_when_a_function_gives_something_to_await(script: ScriptedServer) -> None:
    with (
        Client(script.target, token=awaitable) as client,
        pytest.raises(Unauthenticated, match="needs an AsyncClient"),
    ):
        client.predict(IMAGE)
    assert not script.requests


@pytest.mark.parametrize("value", [None, b"bytes", "two words", ""], ids=str)
def test_an_answer_that_is_not_a_token_is_unauthenticated(connect: Connect, script: ScriptedServer, value: Any) -> None:
    with pytest.raises(Unauthenticated, match="the token function failed"):
        connect(script.target, token=lambda: value).predict(IMAGE)
    assert not script.requests


def test_the_function_runs_on_no_thread_of_grpc_and_on_no_event_loop(connect: Connect, script: ScriptedServer) -> None:
    """A shared RPC that returns sends the next one from gRPC's thread."""
    stacks: list[list[str]] = []

    def function() -> str:
        stacks.append([frame.filename for frame in traceback.extract_stack()])
        return TOKEN

    script.answer = gate = Gate()
    client = connect(script.target, token=function, coalescing=Coalescing(rpcs_in_flight=1, images_per_rpc=4))
    with ThreadPoolExecutor(32) as threads:
        calls = [threads.submit(client.predict, IMAGE) for _ in range(32)]
        until(lambda: client.stats().images_waiting >= 28, "the others wait")
        gate.open()
        assert {call.result().digit for call in calls} == {7}
    assert len(stacks) == client.stats().rpcs_sent >= 8
    for files in stacks:
        assert not [file for file in files if "/grpc/" in file or "/asyncio/" in file]


def test_the_function_runs_in_the_context_of_its_caller(script: ScriptedServer) -> None:
    user = ContextVar("user", default="nobody")
    with Client(script.target, token=lambda: f"token-of-{user.get()}", coalescing=None) as client:
        user.set("ada")
        client.predict(IMAGE)
    assert tokens(script) == {"Bearer token-of-ada"}
