"""What files say, read again when they change: certificates, tokens."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from digits_server.errors import OperatorError

Value = TypeVar("Value")
Signature = tuple[tuple[int, int, int] | None, ...]

LOOK_SECONDS = 0.5
"""Between two looks at the files. New ones count once they have been the same at two looks: a certificate and its key
are seldom written in the same moment."""

log = logging.getLogger(__name__)


class Reloading(Generic[Value]):
    """What `read` makes of `files`, as of their last good state. `value` may be read from any thread.

    `read` raises OperatorError when the files are not what they must be. At start that goes to the caller; later it is
    logged and the value before it stays.
    """

    def __init__(self, name: str, files: Sequence[Path], read: Callable[[], Value]) -> None:
        self._name = name
        self._files = files
        self._read = read
        self._taken = self._seen = self._signature()
        self._told: list[Callable[[Value], None]] = []
        self.value = read()

    def tell(self, listener: Callable[[Value], None]) -> None:
        """Has `listener` called with each new value, on the event loop."""
        self._told.append(listener)

    async def watch(self) -> None:
        """Looks at the files until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if await asyncio.to_thread(self._renew):
                for listener in self._told:
                    listener(self.value)

    def _renew(self) -> bool:
        """Reads the files if they have changed and settled; whether there is a new value."""
        now, before = self._signature(), self._seen
        self._seen = now
        if now == self._taken or now != before:
            return False
        self._taken = now
        try:
            self.value = self._read()
        except OperatorError as error:
            log.error("%s not reloaded: what was there before stays. %s", self._name, error.message)
            return False
        log.info("%s reloaded", self._name)
        return True

    def _signature(self) -> Signature:
        return tuple(_signature(path) for path in self._files)


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes with a file's content; a link is followed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
