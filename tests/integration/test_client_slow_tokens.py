"""Functions that give tokens and block: what becomes of the calls, of other callers and of close."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.client.both import Connect, connecting
from support.client.every_call import CALLS, tokens
from support.client.scripted import ScriptedServer
from support.pictures.pixels import IMAGE

from digits_client import AsyncClient, Client, ClientClosed, Coalescing, DeadlineExceeded

TOKEN = "a-token-of-a-function"  # noqa: S105 - known to tests only
PATIENCE_SECONDS = 30.0
"""Longest wait of a function that blocks, so that a failing test ends."""


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """The event for which blocking functions wait."""
    released = threading.Event()
    yield released
    released.set()


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


def test_a_timeout_is_shared_by_token_and_rpc(connect: Connect, script: ScriptedServer) -> None:
    def function() -> str:
        time.sleep(0.3)
        return TOKEN

    connect(script.target, token=function, timeout=20).predict(IMAGE)
    (left,) = script.deadlines
    assert left is not None
    assert left < 19.75
