"""A background thread of low priority, so that it does not delay calls."""

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
"""With this niceness the thread gets a tenth of a busy core. With more niceness it could starve while it holds Python's
lock."""

SWITCH_SECONDS = 0.0005
"""How long the thread may hold Python's lock while the event loop waits for it. Python's 5 ms are longer than most
requests."""

STALL_SECONDS = 30.0
"""How long work on files may take before the log says so."""

log = logging.getLogger(__name__)

_working: set[int] = set()
"""The background threads that have something to do now, by their identifiers."""

Result = TypeVar("Result")


class BackgroundThread:
    """One thread that runs one piece of work after the other. It starts with the first one.

    The end of the process does not wait for it, unlike for an executor's threads. So a volume that does not answer
    blocks only the thread that reads from it.

    yields  whether its priority is low
    """

    def __init__(self, name: str, *, yields: bool = True) -> None:
        self._name = name
        self._yields = yields
        self._thread: threading.Thread | None = None
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    @property
    def waiting(self) -> int:
        """How many pieces of work have not begun, including those whose callers no longer wait."""
        return self._work.qsize()

    async def run(self, work: Callable[[], Result], *, what: str = "") -> Result:
        """The result of `work`, or its error. Work that has not begun is skipped if its caller is cancelled.

        what  names the work in the warning that is logged if it takes longer than STALL_SECONDS
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
                log.warning("%s takes longer than %.0f s: check that the volume answers", what, STALL_SECONDS)
        return await result

    async def close(self, seconds: float = 0.0) -> None:
        """Ends the thread after its remaining work. Returns when the thread has ended, or after `seconds`."""
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
                _working.add(threading.get_ident())
                try:
                    future.set_result(work())
                except BaseException as error:  # noqa: BLE001 - the caller gets it
                    future.set_exception(error)
                _working.discard(threading.get_ident())
            del item, future, work  # so that nothing of it stays in memory until the next piece of work


def leave_busy_threads() -> None:
    """Ends the process with exit code 0 if a background thread still works. For the very end of the main thread.

    The end of the interpreter would stop such a thread in the middle of a library, and TensorFlow aborts then.
    """
    if _working:
        logging.shutdown()
        os._exit(0)


def yield_to_calls() -> None:
    """Gives the current thread a low priority, and lets all threads share Python's lock in short turns.

    If the system does not allow it, the thread keeps its priority.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    if sys.platform == "linux":  # elsewhere the priority is the process's, not the thread's
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
