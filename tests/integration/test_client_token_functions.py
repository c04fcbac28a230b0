"""Functions that give tokens: where they run, and what becomes of a call whose function blocks."""

import asyncio
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.clients import Connect, connecting
from support.scripted import Gate, ScriptedServer
from support.waiting import until

from digits_client import AsyncClient, Client, ClientClosed, Coalescing, DeadlineExceeded, InvalidInput, Unauthenticated

IMAGE: NDArray[np.uint8] = np.full((28, 28), 7, np.uint8)
TOKEN = "a-token-of-a-function"  # noqa: S105 - known to tests only
PATIENCE_SECONDS = 30.0
"""What a function that blocks waits at most, so that a failing test ends."""

CALLS: dict[str, Callable[[Client], object]] = {
    "predict": lambda client: client.predict(IMAGE),
    "a file": lambda client: client.predict(b"a file"),
    "predict_batch": lambda client: client.predict_batch([IMAGE, IMAGE]),
    "predict_iter": lambda client: list(client.predict_iter([IMAGE, IMAGE])),
    "predict_stream": lambda client: list(client.predict_stream([IMAGE, IMAGE])),
    "model": lambda client: client.model(),
    "health": lambda client: client.health(),
}


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What blocking functions wait for."""
    released = threading.Event()
    yield released
    released.set()


def tokens(script: ScriptedServer) -> set[object]:
    contexts = [*script.contexts, *script.streams, *script.models_asked]
    return {dict(context.invocation_metadata()).get("authorization") for context in contexts}


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
    assert tokens(script) <= {f"Bearer {TOKEN}"}


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


@pytest.mark.parametrize("coalescing", [Coalescing(), None], ids=["coalescing", "alone"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_function_that_blocks_costs_its_call_the_timeout_and_the_error_names_it(
    connect: Connect,
    script: ScriptedServer,
    released: threading.Event,
    call: Callable[[Client], object],
    coalescing: Coalescing | None,
) -> None:
    def function() -> str:
        released.wait(PATIENCE_SECONDS)
        return TOKEN

    begin = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="token function"):
        call(connect(script.target, token=function, timeout=0.2, coalescing=coalescing))
    assert time.monotonic() - begin < PATIENCE_SECONDS / 2
    assert not tokens(script)


def test_an_asynchronous_function_that_does_not_return_costs_its_call_the_timeout(script: ScriptedServer) -> None:
    async def function() -> str:
        while True:
            try:
                await asyncio.sleep(PATIENCE_SECONDS)
            except asyncio.CancelledError:
                return TOKEN  # whatever it does with its cancellation

    with connecting("async") as connect:
        client = connect(script.target, token=function, timeout=0.2)
        for call in CALLS.values():
            with pytest.raises(DeadlineExceeded, match="token function"):
                call(client)
    assert not tokens(script)


def test_every_caller_of_a_function_that_blocks_has_one_clear_error(
    connect: Connect, script: ScriptedServer, released: threading.Event
) -> None:
    def function() -> str:
        released.wait(PATIENCE_SECONDS)
        return TOKEN

    before = threading.active_count()
    client = connect(script.target, token=function, timeout=0.5)

    def outcome(_: int) -> str:
        try:
            return str(client.predict(IMAGE))
        except DeadlineExceeded as error:
            return str(error)

    with ThreadPoolExecutor(32) as threads:
        assert all("token function" in outcome for outcome in threads.map(outcome, range(64)))
    assert threading.active_count() <= before + 10  # a few threads of the client, not one for each call
    released.set()
    assert client.predict(IMAGE, timeout=PATIENCE_SECONDS).digit == 7


def test_a_plain_function_that_blocks_does_not_hold_up_the_event_loop(script: ScriptedServer) -> None:
    held, released = threading.Event(), threading.Event()

    def function() -> str:
        held.set()
        released.wait(PATIENCE_SECONDS)
        return TOKEN

    async def others_are_answered() -> None:
        async with AsyncClient(script.target, token=function) as slow, AsyncClient(script.target) as other:
            call = asyncio.create_task(slow.predict(IMAGE))
            assert await asyncio.to_thread(held.wait, PATIENCE_SECONDS)
            assert (await other.predict(IMAGE)).digit == 7
            assert not call.done()
            released.set()
            assert (await call).digit == 7

    asyncio.run(others_are_answered())


def test_close_ends_calls_that_wait_for_a_token(
    connect: Connect, script: ScriptedServer, released: threading.Event
) -> None:
    asked = threading.Event()

    def function() -> str:
        asked.set()
        released.wait(PATIENCE_SECONDS)
        return TOKEN

    client = connect(script.target, token=function, timeout=PATIENCE_SECONDS)
    with ThreadPoolExecutor(4) as threads:
        calls = [
            threads.submit(CALLS[name], client) for name in ("predict", "predict_batch", "a file", "predict_stream")
        ]
        assert asked.wait(PATIENCE_SECONDS)
        begin = time.monotonic()
        client.close()
        for call in calls:
            with pytest.raises(ClientClosed):
                call.result(PATIENCE_SECONDS / 2)
        assert time.monotonic() - begin < PATIENCE_SECONDS / 2


def test_close_ends_calls_that_await_a_token(script: ScriptedServer) -> None:
    async def calls_end() -> None:
        asked = asyncio.Event()

        async def function() -> str:
            asked.set()
            await asyncio.sleep(PATIENCE_SECONDS)
            return TOKEN

        async with AsyncClient(script.target, token=function, timeout=PATIENCE_SECONDS) as client:
            calls = [asyncio.create_task(call) for call in (client.predict(IMAGE), client.predict_batch([IMAGE]))]
            await asked.wait()
            await client.close()
            async with asyncio.timeout(PATIENCE_SECONDS / 2):
                outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [ClientClosed] * 2

    asyncio.run(calls_end())


def test_the_function_runs_in_the_context_of_its_caller(script: ScriptedServer) -> None:
    user = ContextVar("user", default="nobody")
    with Client(script.target, token=lambda: f"token-of-{user.get()}", coalescing=None) as client:
        user.set("ada")
        client.predict(IMAGE)
    assert tokens(script) == {"Bearer token-of-ada"}


def test_a_timeout_is_shared_by_token_and_rpc(connect: Connect, script: ScriptedServer) -> None:
    def function() -> str:
        time.sleep(0.3)
        return TOKEN

    connect(script.target, token=function, timeout=20).predict(IMAGE)
    (left,) = script.deadlines
    assert left is not None
    assert left < 19.75
