"""A client in a forked process: an answer, or an error that says why; never silence."""

import os
import subprocess
import sys

import pytest
from support.client.scripted import ScriptedServer

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


def test_a_process_forked_after_a_call_gets_an_error(script: ScriptedServer) -> None:
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
def test_a_process_forked_after_another_library_used_grpc_gets_an_error(
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


def test_a_child_that_goes_on_with_the_event_loop_of_its_parent_gets_an_error(
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
        said = str(await ask(client))
    except DigitsError as error:
        said = f"{type(error).__name__} {error}"
    if not pid:
        print("child:", said, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)  # two processes that print at once could mix their lines
    print(said, flush=True)

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
