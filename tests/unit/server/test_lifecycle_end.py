"""The end of a server that has no model yet: it does not wait for the thread that loads one."""

import asyncio
import subprocess
import sys
import threading
from typing import cast

import pytest

from digits_server.models.source import ModelSource
from digits_server.observability.metrics import Metrics
from digits_server.sandbox.parent import Sandbox
from digits_server.serving import lifecycle
from digits_server.serving.registry import ModelRegistry

SECONDS = 30


class Loading:
    """A source whose first call lasts until the end of the test, like an import of TensorFlow."""

    def __init__(self) -> None:
        self.asked, self.ended = threading.Event(), threading.Event()

    def rollout(self) -> None:
        self.asked.set()
        self.ended.wait(SECONDS)


async def test_a_server_that_still_loads_ends_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "CLOSE_SECONDS", 10 * SECONDS)
    monkeypatch.setattr(lifecycle, "SANDBOX", Sandbox())  # it will be closed; that of this process stays open
    source = Loading()
    models = ModelRegistry(Metrics(), max_batch_size=1, max_queue_size=1)
    own = lifecycle.Lifecycle(cast("ModelSource", source), models, poll_interval=0, served_versions=1, max_batch_size=1)
    starting = asyncio.create_task(own.start())
    try:
        await asyncio.to_thread(source.asked.wait, SECONDS)
        async with asyncio.timeout(SECONDS / 2):
            await own.close()
    finally:
        source.ended.set()
        starting.cancel()
        await models.close()


BUSY_AT_THE_END = """
import asyncio, atexit, threading
from digits_server.system.background_thread import BackgroundThread, leave_busy_threads

async def begin():
    begun = threading.Event()
    work = asyncio.ensure_future(BackgroundThread("busy").run(lambda: (begun.set(), threading.Event().wait())))
    await asyncio.to_thread(begun.wait)
    work.cancel()

atexit.register(print, "the interpreter ended")
asyncio.run(begin())
leave_busy_threads()
"""


def test_a_background_thread_that_works_on_does_not_hold_the_end_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY_AT_THE_END], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
