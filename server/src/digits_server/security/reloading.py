"""What files say, read again when their content changes: certificates, tokens."""

import asyncio
import logging
import secrets
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar

from digits_server.errors import OperatorError
from digits_server.system.background_thread import BackgroundThread
from digits_server.system.regular_files import read_regular

Value = TypeVar("Value")

LOOK_SECONDS = 0.5
"""Between two looks at the files. New content counts once it has been the same at two looks: a certificate and its key
are seldom written in the same moment."""

LONGEST_PAUSE = 30.0
"""Seconds at most until content that could not be used is tried again: a certificate becomes valid with time."""

MAX_FILE_BYTES = 1024 * 1024
"""Bytes of one file: some ten thousand tokens, or a few hundred certificates."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file as it was at one look: its bytes, or why it could not be read. Shows no content: it may be a secret."""

    path: Path
    data: bytes | None
    error: str = ""

    def __repr__(self) -> str:
        return f"FileContent({str(self.path)!r})"

    def read(self, flag: str) -> bytes:
        """The bytes. Raises OperatorError, which begins with the name of a flag, when the file could not be read."""
        if self.data is None:
            raise OperatorError(f"{flag}: cannot read {self.path}: {self.error}")
        return self.data


Contents = tuple[FileContent, ...]

Marks = tuple[bytes | str, ...]
"""Of some contents: a keyed hash of each file, or why it could not be read."""

_KEY = secrets.token_bytes(32)


class Reloading(Generic[Value]):
    """What `parse` makes of the contents of `files`, as of their last good state. `value` may be read from any thread.

    `parse` raises OperatorError when the files are not what they must be. At the start the caller gets that error.
    Later it is logged once, counted, and the files are tried again after growing pauses; the value before stays. They
    are read here and nowhere else, so that what `parse` approved is what is used.

    name  of the files, in the log
    """

    def __init__(self, name: str, files: Sequence[Path], parse: Callable[[Contents], Value]) -> None:
        self.name = name
        self._files = files
        self._parse = parse
        self._told: list[Callable[[Value], None]] = []
        self._count: Callable[[], object] = lambda: None
        self._said = ""
        self._pause = LOOK_SECONDS
        self._try_again = float("inf")
        contents = self._look()
        self._taken = self._seen = _marks(contents)  # not the contents: no token stays in memory as it is
        self.value = parse(contents)

    def tell(self, listener: Callable[[Value], None]) -> None:
        """Has `listener` called with each new value, on the event loop."""
        self._told.append(listener)

    def count_failures(self, count: Callable[[], object]) -> None:
        """Has `count` called whenever changed files cannot be used, and at each further attempt."""
        self._count = count

    async def watch(self) -> None:
        """Looks at the files until it is cancelled, whatever goes wrong."""
        thread = BackgroundThread(f"files of {self.name}")
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                if await thread.run(self._renew, what=f"reading the files of {self.name}"):
                    for listener in self._told:
                        listener(self.value)
                    self._said = ""
                    log.info("%s reloaded", self.name)
            except OperatorError as error:
                self._failed(error.message)
            except Exception as error:  # noqa: BLE001 - logged, without what its text may show
                self._failed(_described(error))

    def _renew(self) -> bool:
        """Takes up new content once it has settled; whether there is a new value. Raises what `parse` raises."""
        contents, before = self._look(), self._seen
        now = self._seen = _marks(contents)
        if now != before or (now == self._taken and monotonic() < self._try_again):
            return False
        if now != self._taken:
            self._pause, self._said = LOOK_SECONDS, ""
        self._taken, self._try_again = now, float("inf")
        self.value = self._parse(contents)
        return True

    def _failed(self, reason: str) -> None:
        """Has the same content tried again after a while, and says why once."""
        self._count()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._try_again = monotonic() + self._pause
        if reason != self._said:
            log.error("%s not reloaded: what was there before stays. %s", self.name, reason)
        self._said = reason

    def _look(self) -> Contents:
        return tuple(_content(path) for path in self._files)


def _marks(contents: Contents) -> Marks:
    return tuple(item.error if item.data is None else blake2b(item.data, key=_KEY).digest() for item in contents)


def _described(error: Exception) -> str:
    """An error that nobody foresaw: its type and place, for its text may show what was read."""
    places = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"unexpected {type(error).__name__}{place}"


def _content(path: Path) -> FileContent:
    """Links are followed: it is by a link that Kubernetes changes several files at once."""
    try:
        return FileContent(path, read_regular(path, MAX_FILE_BYTES))
    except OSError as error:
        return FileContent(path, None, error.strerror or type(error).__name__)
