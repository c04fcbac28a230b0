"""Files that are read again when their content changes: certificates, tokens."""

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
"""Time between two readings of the files. New content is used once it was the same twice: a certificate and its key are
seldom written at the same moment."""

LONGEST_PAUSE = 30.0
"""Most seconds until unusable content is tried again: a certificate may become valid with time."""

MAX_FILE_BYTES = 1024 * 1024
"""Largest file, in bytes: some ten thousand tokens, or a few hundred certificates."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file at one moment: its bytes, or why it could not be read. Its repr has no content, which may be secret."""

    path: Path
    data: bytes | None
    error: str = ""

    def __repr__(self) -> str:
        return f"FileContent({str(self.path)!r})"

    def read(self, flag: str) -> bytes:
        """The bytes. Raises OperatorError, which begins with the name of a flag, if the file could not be read."""
        if self.data is None:
            raise OperatorError(f"{flag}: cannot read {self.path}: {self.error}")
        return self.data


Contents = tuple[FileContent, ...]

Marks = tuple[bytes | str, ...]
"""For each file: a keyed hash of its content, or why it could not be read."""

_KEY = secrets.token_bytes(32)


class Reloading(Generic[Value]):
    """The result of `parse` for the last good contents of `files`. Any thread may read `value`.

    `parse` raises OperatorError for invalid files. At the start the caller gets that error. Later it is logged once,
    counted, and the files are tried again after growing pauses; the previous value stays. The files are read only here,
    so that the bytes which `parse` accepted are the ones in use.

    name  name of the files in the log
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
        self._taken = self._seen = _marks(contents)  # not the contents: no token stays in memory
        self.value = parse(contents)

    def tell(self, listener: Callable[[Value], None]) -> None:
        """Calls `listener` with each new value, on the event loop."""
        self._told.append(listener)

    def count_failures(self, count: Callable[[], object]) -> None:
        """Calls `count` when changed files cannot be used, and at each further attempt."""
        self._count = count

    async def watch(self) -> None:
        """Follows the files until it is cancelled. No error ends it."""
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
        """Uses new content once it has settled; returns whether there is a new value. Raises what `parse` raises."""
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
        """Tries the same content again later, and logs the reason once."""
        self._count()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        self._try_again = monotonic() + self._pause
        if reason != self._said:
            log.error("%s not reloaded: the previous content stays in use. %s", self.name, reason)
        self._said = reason

    def _look(self) -> Contents:
        return tuple(_content(path) for path in self._files)


def _marks(contents: Contents) -> Marks:
    return tuple(item.error if item.data is None else blake2b(item.data, key=_KEY).digest() for item in contents)


def _described(error: Exception) -> str:
    """An unexpected error: its type and place only, because its text may contain a secret that was read."""
    places = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"unexpected {type(error).__name__}{place}"


def _content(path: Path) -> FileContent:
    """Links are followed: Kubernetes changes several files at once by changing a link."""
    try:
        return FileContent(path, read_regular(path, MAX_FILE_BYTES))
    except OSError as error:
        return FileContent(path, None, error.strerror or type(error).__name__)
