"""Tasks that wait until a condition holds, such as a free place in a queue."""

import asyncio
from collections.abc import Callable

from digits_server.errors import DeadlineExceeded


class Waiters:
    """Any number of waiting tasks, each with its own condition. Lives on the event loop."""

    def __init__(self) -> None:
        self._told: asyncio.Future[None] | None = None

    async def until(self, holds: Callable[[], bool], deadline: float | None = None, late: str = "") -> None:
        """Returns as soon as `holds()` is true. It is called at once, and after every change.

        Raises DeadlineExceeded with the message `late` at `deadline`, a time of the event loop's clock in seconds.
        """
        if holds():
            return
        try:
            async with asyncio.timeout_at(deadline):
                while not holds():
                    self._told = self._told or asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._told)
        except TimeoutError as error:
            raise DeadlineExceeded(late) from error

    def tell(self) -> None:
        """Something has changed: every waiting task checks its condition again."""
        if self._told:
            self._told.set_result(None)
            self._told = None
