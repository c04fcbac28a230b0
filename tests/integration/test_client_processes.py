"""Event loops, forks and cancelled callers: an error that says why, or an answer; never silence."""

import asyncio
import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.scripted import Gate, ScriptedServer
from support.waiting import until

from digits_client import AsyncClient, Client, Coalescing, Misused

SECONDS = 30
"""Deadline of a process that forks: one that hangs is a failure."""
FORK = """
import asyncio, ctypes, gc, os, sys
import grpc
import numpy as np
from digits_client import AsyncClient, Client, DigitsError

image = np.full((28, 28), 7, np.uint8)
target = sys.argv[1]

def in_c():
    "A fork that runs no hook of Python's, as uWSGI makes it."
    return ctypes.PyDLL(None).fork()

def fork(child, fork=os.fork):
    "What `child` returns or raises, in a forked process, is printed; then the process ends."
    sys.stdout.flush()
    pid = fork()
    if pid:
        return os.waitpid(pid, 0)
    try:
        print("child:", child(), flush=True)
    except DigitsError as error:
        print("child:", type(error).__name__, str(error), flush=True)
    os._exit(0)

async def ask(client=None):
    client = client or AsyncClient(target)
    return (await client.predict(image)).digit

def another_library():
    "Calls the same server, and keeps its channel."
    channel = grpc.insecure_channel(target)
    channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    return channel

async def another_async_library():
    channel = grpc.aio.insecure_channel(target)
    await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20)
    return channel
"""


def image(value: int) -> NDArray[np.uint8]:
    return np.full((28, 28), value, np.uint8)


def forking(script: ScriptedServer, code: str, *, supported: bool = False) -> list[str]:
    """The lines that a process running `code` prints, and its children."""
    environment = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "1" if supported else "0"}
    done = subprocess.run(
        [sys.executable, "-c", FORK + code, script.target],
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=True,
        env=environment,
    )
    return done.stdout.splitlines()


def test_a_process_forked_after_a_call_is_told_that_it_cannot_call(script: ScriptedServer) -> None:
    lines = forking(
        script,
        """
client = Client(target)
print(client.predict(image).digit)
fork(lambda: client.predict(image).digit)
fork(lambda: client.predict_batch([image]).digits)
fork(lambda: client.health())
fork(lambda: Client(target).predict(image).digit)
fork(lambda: asyncio.run(ask()))
print(client.predict(image).digit)
""",
    )
    assert lines[0] == lines[-1] == "7"
    assert len(lines) == 7
    for line in lines[1:-1]:
        assert line.startswith("child: Misused this process was forked from one that had already called a server")


def test_a_client_made_before_a_fork_and_used_after_it_works_in_both(script: ScriptedServer) -> None:
    lines = forking(
        script,
        """
client = Client(target)
later = AsyncClient(target)
fork(lambda: client.predict(image).digit)
fork(lambda: asyncio.run(ask(later)))
print(client.predict(image).digit)
""",
    )
    assert lines == ["child: 7", "child: 7", "7"]


@pytest.mark.parametrize("how", ["os.fork", "in_c"])
@pytest.mark.parametrize(
    "other",
    [
        "kept = another_library()",
        "kept = asyncio.run(another_async_library())",
        "kept = another_library(); gc.freeze()",
        "kept = Client(target); kept.predict(image)",
    ],
    ids=["threads", "tasks", "frozen objects", "another client"],
)
def test_a_process_forked_after_something_else_used_grpc_is_told_that_it_cannot_call(
    script: ScriptedServer, how: str, other: str
) -> None:
    lines = forking(
        script,
        f"""
{other}
client = Client(target)
fork(lambda: client.predict(image).digit, {how})
fork(lambda: client.predict_batch([image]).digits, {how})
fork(lambda: Client(target).health(), {how})
fork(lambda: asyncio.run(ask()), {how})
print(client.predict(image).digit)
""",
    )
    assert lines[-1] == "7"
    assert len(lines) == 5
    for line in lines[:-1]:
        assert line.startswith("child: Misused this process was forked from one that had already called a server")


@pytest.mark.parametrize("how", ["os.fork", "in_c"])
def test_a_child_that_grpc_is_new_to_calls_however_it_was_forked(script: ScriptedServer, how: str) -> None:
    """Before the fork there was a client without a call; in the second child another library calls first."""
    lines = forking(
        script,
        f"""
client = Client(target)
fork(lambda: client.predict(image).digit, {how})
fork(lambda: another_library() and client.predict(image).digit, {how})
fork(lambda: asyncio.run(ask()), {how})
""",
    )
    assert lines == ["child: 7"] * 3


def test_a_child_that_goes_on_with_the_event_loop_of_its_parent_is_told_that_it_cannot_call(
    script: ScriptedServer,
) -> None:
    lines = forking(
        script,
        """
async def main():
    client = AsyncClient(target)
    await ask(client)
    pid = os.fork()
    try:
        print(await ask(client) if pid else "child: " + str(await ask(client)), flush=True)
    except DigitsError as error:
        print("child:", type(error).__name__, str(error), flush=True)
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

asyncio.run(main())
""",
    )
    assert sorted(line[:90] for line in lines) == [
        "7",
        "child: Misused this process was forked from one that had already called a server, and gRPC",
    ]


def test_where_grpc_supports_forks_the_child_calls_too(script: ScriptedServer) -> None:
    lines = forking(
        script,
        """
client = Client(target)
print(client.predict(image).digit)
fork(lambda: client.predict(image).digit)
fork(lambda: asyncio.run(ask()))
print(client.predict(image).digit)
""",
        supported=True,
    )
    assert lines[:2] == ["7", "child: 7"]
    assert lines[2].startswith("child: Misused")
    assert lines[3] == "7"


def test_a_forked_child_ends_its_copy_without_ending_the_parents(script: ScriptedServer) -> None:
    lines = forking(
        script,
        """
client = Client(target)
print(client.predict(image).digit)
fork(lambda: client.close())
print(client.predict(image).digit)
""",
    )
    assert lines == ["7", "child: None", "7"]


def test_a_second_event_loop_is_told_to_make_its_own_client(script: ScriptedServer) -> None:
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
    """What gathered behind it leaves at once."""
    script.answer = Gate()
    async with AsyncClient(script.target) as client:
        tasks = await held_and_gathered(client, script, 5)
        script.answer.open()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert [(await task).digit for task in tasks[1:]] == [1, 2, 3, 4, 5]


async def test_an_rpc_that_nobody_waits_for_any_more_is_cancelled(script: ScriptedServer) -> None:
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
