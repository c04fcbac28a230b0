"""Detects changed files. The content decides, but it is read again only if a file looks changed.

Times and inodes come from the storage. A disk keeps them, but a network volume or an object store may report others
each time, even for unchanged files.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from digits_server.system.regular_files import opened_below, opened_folder, opened_regular

MAX_ENTRIES = 1000
"""Most files and folders that are looked at; a published version has about ten."""

MAX_DEPTH = 8
"""Most levels of folders within folders; a published version has one."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 600.0
"""Seconds until files of the same sizes that look changed are read again; doubled each time their content was the
same."""


class Entry(NamedTuple):
    """A file or folder, as the storage describes it. `path` is relative, with forward slashes."""

    path: str
    kind: int
    size: int
    modified_ns: int
    changed_ns: int
    inode: int


Look = tuple[Entry, ...]


@dataclass(slots=True)
class _Known:
    look: Look
    digest: bytes
    pause: float
    read_again: float
    """When files of the same sizes that look changed may be read again, on the clock."""


class ContentWatch:
    """Remembers the digest of some files, by a key, as long as they look the same.

    clock  the time in seconds
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._known: dict[int, _Known] = {}

    def digest(self, key: int, look: Look, read: Callable[[], bytes]) -> bytes:
        """The digest of files that now look like this; `read` computes it if needed. Raises what `read` raises."""
        known, now = self._known.get(key), self._clock()
        if known is None:
            self._known[key] = _Known(look, read(), FIRST_PAUSE, now)
            return self._known[key].digest
        if look == known.look:
            if now >= known.read_again:
                known.pause = FIRST_PAUSE
            return known.digest
        if now < known.read_again and _sizes(look) == _sizes(known.look):
            return known.digest
        digest = read()
        known.pause = min(2 * known.pause, LONGEST_PAUSE) if digest == known.digest else FIRST_PAUSE
        known.look, known.digest = look, digest
        known.read_again = now + known.pause if known.pause > FIRST_PAUSE else now
        return digest

    def known(self, key: int) -> bytes:
        """The digest of the files when they could last be read, empty if never: an error is not a change."""
        known = self._known.get(key)
        return known.digest if known else b""

    def keep(self, keys: set[int]) -> None:
        """Forgets all others."""
        self._known = {key: known for key, known in self._known.items() if key in keys}


def look_into(folder: int) -> Look:
    """The files and folders in a folder, recursively, sorted by path; links are not followed. Raises OSError."""
    return tuple(sorted(islice(_entries(folder, "", MAX_DEPTH), MAX_ENTRIES)))


def look_at(path: Path) -> Look:
    """One file; a link is followed. Raises OSError."""
    return (_entry(path.name, path.stat()),)


def digest_of(folder: int, look: Look, max_bytes: int) -> bytes:
    """The digest of what `look` returned: paths, kinds, and the content of regular files. Raises OSError.

    max_bytes  limit of all files together; beyond it, size and time count instead of the content
    """
    result = hashlib.sha256()
    for entry in look:
        content = b""
        if stat.S_ISREG(entry.kind):
            max_bytes -= entry.size
            known = repr((entry.size, entry.modified_ns)).encode()
            content = _content(folder, entry.path) if max_bytes >= 0 else known
        result.update(repr((entry.path, entry.kind, content)).encode())
    return result.digest()


def content_of(path: Path) -> bytes:
    """The digest of one file; a link is followed. Raises OSError."""
    with opened_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _content(folder: int, path: str) -> bytes:
    try:
        with opened_below(folder, path) as (parent, name), opened_regular(name, within=parent) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:  # removed meanwhile
        return b""


def _entries(folder: int, prefix: str, depth: int) -> Iterator[Entry]:
    with os.scandir(folder) as found:
        for item in found:
            try:
                entry = _entry(prefix + item.name, item.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
            yield entry
            if stat.S_ISDIR(entry.kind) and depth:
                with opened_folder(item.name, within=folder) as inner:
                    yield from _entries(inner, entry.path + "/", depth - 1)


def _entry(path: str, status: os.stat_result) -> Entry:
    kind = stat.S_IFMT(status.st_mode)
    return Entry(path, kind, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _sizes(look: Look) -> list[tuple[str, int]]:
    return [(entry.path, entry.size) for entry in look if stat.S_ISREG(entry.kind)]
