"""What files say, read again when they change: certificates, tokens."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from digits_server.errors import OperatorError

Value = TypeVar("Value")
Signature = tuple[tuple[int, int, int, int] | None, ...]

LOOK_SECONDS = 0.5
"""Between two looks at the files. New ones count once they have been the same at two looks: a certificate and its key
are seldom written in the same moment."""

log = logging.getLogger(__name__)


class Reloading(Generic[Value]):
    """What `read` makes of `files`, as of their last good state. `value` may be read from any thread.

    `read` raises OperatorError when the files are not what they must be. At start that goes to the caller; later it is
    logged once, the value before it stays, and the files are read again at each look until they are good: some become
    so without a change, like a certificate that is valid from tomorrow on.
    """

    def __init__(self, name: str, files: Sequence[Path], read: Callable[[], Value]) -> None:
        self._name = name
        self._files = files
        self._read = read
        self._taken: Signature | None = self._signature()
        self._seen = self._taken
        self._last_error = ""
        self._told: list[Callable[[Value], None]] = []
        self.value = read()

    def tell(self, listener: Callable[[Value], None]) -> None:
        """Has `listener` called with each new value, on the event loop."""
        self._told.append(listener)

    async def watch(self) -> None:
        """Looks at the files until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if await asyncio.to_thread(self._renew):
                    self._tell_all()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look must follow
                self._failed(f"unexpected error: {type(error).__name__}: {error}")

    def _tell_all(self) -> None:
        for listener in self._told:
            listener(self.value)
        self._last_error = ""
        log.info("%s reloaded", self._name)

    def _failed(self, message: str) -> None:
        """Says once what is wrong, and has the files read again at the next look."""
        self._taken = None
        if message != self._last_error:
            self._last_error = message
            log.error("%s not reloaded: what was there before stays. %s", self._name, message)

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
            self._failed(error.message)
            return False
        return True

    def _signature(self) -> Signature:
        return tuple(_signature(path) for path in self._files)


def _signature(path: Path) -> tuple[int, int, int, int] | None:
    """What changes with a file's content, owner or rights; a link is followed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
