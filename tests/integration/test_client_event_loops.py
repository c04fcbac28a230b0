"""Event loops, threads and cancelled callers that share a client: each gets its answer or an error that says why."""

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.client.scripted import Gate, ScriptedServer
from support.pictures.pixels import image
from support.waiting import until

from digits_client import AsyncClient, Client, Coalescing, Misused

pytestmark = pytest.mark.usefixtures("patient")


def test_a_second_event_loop_gets_an_error_to_make_its_own_client(script: ScriptedServer) -> None:
    client = AsyncClient(script.target)
    sentence = "an AsyncClient belongs to the event loop of its first call"
    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(client.predict(image(3))).digit == 3
        for ask in (
            lambda: client.predict(image(3)),
            lambda: client.predict_batch([image(3)]),
            client.health,
            client.close,
        ):
            with pytest.raises(Misused, match=sentence):
                second.run(ask())
        assert first.run(client.predict(image(4))).digit == 4
        first.run(client.close())


def test_each_event_loop_with_its_own_client_works(script: ScriptedServer) -> None:
    async def many(value: int) -> list[int]:
        async with AsyncClient(script.target) as client:
            answers = await asyncio.gather(*(client.predict(image(value)) for _ in range(100)))
            return [answer.digit for answer in answers]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda value: asyncio.run(many(value)), range(8))) == [
            [value] * 100 for value in range(8)
        ]


async def test_a_caller_cancelled_while_it_waits_disturbs_no_other(script: ScriptedServer) -> None:
    script.answer = gate = Gate()
    async with AsyncClient(script.target) as client:
        tasks = await held_and_gathered(client, script, 10)
        for task in tasks[1::2]:
            task.cancel()
        await asyncio.sleep(0)
        gate.open()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in results[1::2]] == [asyncio.CancelledError] * 5
    assert [one.digit for one in results[::2] if not isinstance(one, BaseException)] == [0, 2, 4, 6, 8, 0]
    assert script.sizes == [1, 5]


async def test_a_caller_cancelled_on_the_way_disturbs_no_other(script: ScriptedServer) -> None:
    script.answer = gate = Gate()
    async with AsyncClient(script.target, coalescing=Coalescing(images_per_rpc=10)) as client:
        tasks = await held_and_gathered(client, script, 10)
        await at_server(script, 2)
        assert script.sizes == [1, 10]
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
        gate.open()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in results[::2]] == [asyncio.CancelledError] * 6
    assert [one.digit for one in results[1::2] if not isinstance(one, BaseException)] == [1, 3, 5, 7, 9]


async def test_the_caller_whose_rpc_it_was_may_be_cancelled_too(script: ScriptedServer) -> None:
    """Calls that gathered behind it are sent when it has ended: only one RPC may be in flight."""
    script.answer = Gate()
    async with AsyncClient(script.target, coalescing=Coalescing(rpcs_in_flight=1)) as client:
        tasks = await held_and_gathered(client, script, 5)
        script.answer.open()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert [(await task).digit for task in tasks[1:]] == [1, 2, 3, 4, 5]


async def test_an_rpc_without_waiting_callers_is_cancelled(script: ScriptedServer) -> None:
    """Long before its deadline."""
    script.answer = gate = Gate()
    async with AsyncClient(script.target, timeout=60, coalescing=Coalescing(images_per_rpc=10)) as client:
        tasks = await held_and_gathered(client, script, 10)
        await at_server(script, 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(until, lambda: not any(one.is_active() for one in script.contexts), "both ended", 15)
    gate.open()


async def test_ten_thousand_calls_a_third_of_them_cancelled_leave_nothing_behind(script: ScriptedServer) -> None:
    rng = np.random.default_rng(3)
    async with AsyncClient(script.target) as client:
        for _ in range(10):
            values = rng.integers(0, 250, 1000)
            tasks = [asyncio.create_task(client.predict(image(int(value)))) for value in values]
            for _ in range(int(rng.integers(0, 20))):
                await asyncio.sleep(0)
            gone = {task for task in tasks if rng.random() < 0.33 and task.cancel()}
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for value, task, result in zip(values, tasks, results, strict=True):
                if task in gone:
                    assert isinstance(result, asyncio.CancelledError)
                else:
                    assert not isinstance(result, BaseException)
                    assert result.digit == value % 10
        core: Any = client._connected and client._connected.coalescer and client._connected.coalescer._core
        assert not list(core.unfinished())
    gc.collect()


def test_threads_may_share_a_client_from_its_first_call_on(script: ScriptedServer) -> None:
    with Client(script.target) as client, ThreadPoolExecutor(32) as threads:
        answers = threads.map(lambda value: client.predict(image(value)).digit, range(250))
        assert list(answers) == [value % 10 for value in range(250)]


async def at_server(script: ScriptedServer, count: int) -> None:
    await asyncio.to_thread(until, lambda: len(script.requests) == count, f"{count} RPCs are at the server")


async def held_and_gathered(client: AsyncClient, script: ScriptedServer, count: int) -> "list[asyncio.Task[Any]]":
    """A call that is held at the server, and `count` that wait behind it."""
    tasks = [asyncio.create_task(client.predict(image(0)))]
    await at_server(script, 1)
    tasks += [asyncio.create_task(client.predict(image(value))) for value in range(1, count + 1)]
    await asyncio.sleep(0)
    return tasks
