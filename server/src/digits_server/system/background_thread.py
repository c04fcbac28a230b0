"""Work beside the calls that are answered: one thread that yields to them."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

NICENESS = 10
"""Of 19: such a thread gets a tenth of a busy core. Less would let it starve while it holds Python's lock."""

SWITCH_SECONDS = 0.0005
"""How long it may keep Python's lock from the event loop, once asked for it; Python's own 5 ms are longer than most
requests take."""

STALL_SECONDS = 30.0
"""What looking at some files may take before that is said in the log."""

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class BackgroundThread:
    """One thread that does one thing after the other. It starts with the first.

    Nothing waits for it at the end of the process, unlike the threads of an executor: a volume that does not answer
    holds the thread that reads from it, and nobody else.

    yields  whether its priority is low
    """

    def __init__(self, name: str, *, yields: bool = True) -> None:
        self._name = name
        self._yields = yields
        self._thread: threading.Thread | None = None
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    @property
    def waiting(self) -> int:
        """How much waits to be begun, what its callers no longer wait for among it."""
        return self._work.qsize()

    async def run(self, work: Callable[[], Result], *, what: str = "") -> Result:
        """What `work` returns or raises. If the caller is cancelled before it is begun, it is not done.

        what  names the work in a warning, should it take longer than STALL_SECONDS
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: Future[Result] = Future()
        self._work.put((future, work))
        result = asyncio.wrap_future(future)
        if what:
            try:
                done, _ = await asyncio.wait((result,), timeout=STALL_SECONDS)
            except asyncio.CancelledError:
                result.cancel()
                raise
            if not done:
                log.warning("%s takes longer than %.0f s: does the volume answer?", what, STALL_SECONDS)
        return await result

    async def close(self, seconds: float = 0.0) -> None:
        """Ends the thread once it has done what it was given; returns then, after `seconds` at the latest."""
        if self._thread is None:
            return
        ended: Future[None] = Future()
        self._work.put((ended, lambda: None))
        self._work.put(None)
        await asyncio.wait((asyncio.wrap_future(ended),), timeout=seconds)

    def _run(self) -> None:
        if self._yields:
            yield_to_calls()
        while item := self._work.get():
            future, work = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - it is the caller's
                    future.set_exception(error)
            del item, future, work  # nothing of it is kept until the next


def yield_to_calls() -> None:
    """Makes the current thread one of low priority, and has all threads share Python's lock in short turns.

    Where the system does not allow the priority, the thread keeps its own.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform == "linux":  # elsewhere the priority is the process's, not the thread's
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
