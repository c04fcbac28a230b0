"""Work on messages in a background thread, with a bounded queue in which connections take turns."""

import asyncio
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from digits_server.batching.waiters import Waiters
from digits_server.errors import DeadlineExceeded, Overloaded, Unavailable
from digits_server.system.background_thread import SWITCH_SECONDS

RETRY_AFTER_MS = 100
"""Milliseconds after which a rejected caller may try again."""

Result = TypeVar("Result")


class _Job:
    """One piece of work that waits for its turn. `started` resolves when it may run."""

    __slots__ = ("peer", "size", "started")

    def __init__(self, peer: Hashable, size: int, started: "asyncio.Future[None]") -> None:
        self.peer = peer
        self.size = size
        self.started = started


class Offload:
    """Runs functions in one thread, one after another. Lives on the event loop.

    Connections take turns, so that a caller with much work delays only itself.

    name       name of the thread
    max_bytes  bytes of the messages that wait or are worked on. One connection may hold no more than it leaves free.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: dict[Hashable, int] = {}
        self._queues: OrderedDict[Hashable, deque[_Job]] = OrderedDict()
        self._working = False
        self._closed = False
        self._freed = Waiters()
        # Not a thread of low priority: most of this work holds Python's lock, and the event loop would wait with it.
        self._thread = ThreadPoolExecutor(1, name, initializer=sys.setswitchinterval, initargs=(SWITCH_SECONDS,))

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages that wait or are worked on."""
        return sum(self._held.values())

    async def run(
        self,
        work: Callable[[], Result],
        *,
        peer: Hashable,
        size: int,
        deadline: float | None,
        patient: bool = False,
    ) -> Result:
        """The result of `work()`, called in the thread when the connection's turn comes.

        peer      the connection it is for
        size      bytes of the message it is about
        deadline  a time of the event loop's clock, in seconds: work that has not begun by then is dropped
        patient   waits while too many bytes wait, instead of being rejected

        Work that has begun runs to its end, even if its caller has left. Raises what `work` raises, Overloaded if too
        many bytes wait, DeadlineExceeded at the deadline, and Unavailable once closed.
        """
        if self._closed:
            raise Unavailable("the server is draining")
        if patient:
            await self._freed.until(
                lambda: self._closed or not self._is_full(peer, size),
                deadline,
                "there was no place for the message before its deadline",
            )
        self._admit(peer, size)
        job = _Job(peer, size, asyncio.get_running_loop().create_future())
        self._queues.setdefault(peer, deque()).append(job)
        self._next()
        try:
            async with asyncio.timeout_at(deadline):
                await job.started
        except BaseException as error:
            self._give_up(job)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("the request's turn did not come before its deadline") from error
            raise
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        running.add_done_callback(lambda done: self._done(job, done))
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(running)
        except TimeoutError as error:
            if running.done() and not running.cancelled() and running.exception() is error:
                raise  # raised by the work itself
            raise DeadlineExceeded("the request was not read before its deadline") from error
        finally:
            del running, work  # an error's traceback keeps this frame, and with it the message

    def close(self) -> None:
        """Accepts no more work. Waiting work is rejected as Unavailable; running work is finished."""
        self._closed = True
        for queue in self._queues.values():
            for job in queue:
                if not job.started.done():
                    job.started.set_exception(Unavailable("the server is draining"))
        self._thread.shutdown(wait=False)

    def _is_full(self, peer: Hashable, size: int) -> bool:
        held, free = self._held.get(peer, 0), self._max_bytes - self.held_bytes - size
        return bool((held and held + size > free) or (free < 0 and self._held))

    def _admit(self, peer: Hashable, size: int) -> None:
        held = self._held.get(peer, 0)
        if self._is_full(peer, size):
            raise Overloaded(
                f"{self.held_bytes} bytes of messages wait to be read, {held} of them from this connection; "
                f"at most {self._max_bytes} may wait, and one connection must leave as much free as it holds",
                RETRY_AFTER_MS,
            )
        self._held[peer] = held + size

    def _next(self) -> None:
        """Starts the next connection's first job, unless one is being worked on."""
        while self._queues and not self._working:
            peer, queue = self._queues.popitem(last=False)
            job = queue.popleft()
            if queue:
                self._queues[peer] = queue  # behind all others
            if not job.started.done():
                self._working = True
                job.started.set_result(None)

    def _give_up(self, job: _Job) -> None:
        """Drops a job whose caller has left."""
        if job.started.done() and not job.started.cancelled() and not job.started.exception():
            self._working = False  # its turn had come
        elif (queue := self._queues.get(job.peer)) and job in queue:
            queue.remove(job)
            if not queue:
                del self._queues[job.peer]
        self._release(job)
        self._next()

    def _done(self, job: _Job, running: "asyncio.Future[Any]") -> None:
        self._working = False
        self._release(job)
        self._next()
        if not running.cancelled():
            running.exception()  # a caller that has left does not read the error

    def _release(self, job: _Job) -> None:
        self._held[job.peer] -= job.size
        if not self._held[job.peer]:
            del self._held[job.peer]
        self._freed.tell()
