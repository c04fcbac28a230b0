"""Reads files that others may replace at any moment: each is opened once, checked, and read from its descriptor.

An ordinary `open` of a named pipe, a socket or a device could wait for ever. Here, anything that is not a regular file
is rejected before a byte is read.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path

WITHOUT_WAITING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegular(OSError):
    """The path is not a regular file; `kind` says what it is."""

    def __init__(self, kind: str) -> None:
        super().__init__(errno.EINVAL, f"expected a regular file, found {kind}")
        self.kind = kind


class TooLarge(OSError):
    """The file has more bytes than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(errno.EFBIG, f"the file is larger than {limit} bytes")


@contextmanager
def opened_folder(path: Path | str, *, within: int | None = None) -> Iterator[int]:
    """A descriptor of a folder. Raises OSError, NotRegular for a link among them.

    within  a folder's descriptor that `path` starts from; then `path` must not be a link
    """
    descriptor = _open(path, os.O_DIRECTORY, within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_regular(path: Path | str, *, within: int | None = None) -> Iterator[BufferedReader]:
    """A regular file, opened to be read. Raises OSError, NotRegular among them.

    within  a folder's descriptor that `path` starts from; then `path` must not be a link
    """
    descriptor = _open(path, 0, within)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise NotRegular(kind_of(mode))
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_regular(path: Path | str, limit: int, *, within: int | None = None) -> bytes:
    """The whole content of a regular file of at most `limit` bytes. Raises OSError, TooLarge among them."""
    with opened_regular(path, within=within) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise TooLarge(limit)
        content = file.read(limit + 1)
    if len(content) > limit:  # it grew, or the system does not know its size
        raise TooLarge(limit)
    return content


@contextmanager
def opened_below(folder: int, path: str) -> Iterator[tuple[int, str]]:
    """The descriptor of the folder that holds `path`, and the name there. No link is followed. Raises OSError.

    path  relative to `folder`, with forward slashes
    """
    *parents, name = path.split("/")
    with ExitStack() as opened:
        for parent in parents:
            folder = opened.enter_context(opened_folder(parent, within=folder))
        yield folder, name


def kind_of(mode: int) -> str:
    """The kind of file in `st_mode`, in words."""
    return KINDS.get(stat.S_IFMT(mode), "something else")


def _open(path: Path | str, more: int, within: int | None) -> int:
    if within is None:
        return os.open(path, WITHOUT_WAITING | more)
    try:
        return os.open(path, WITHOUT_WAITING | os.O_NOFOLLOW | more, dir_fd=within)
    except OSError as error:
        # It was not opened. Its kind is looked up only for the error message.
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            mode = os.lstat(path, dir_fd=within).st_mode
            raise NotRegular(kind_of(mode)) from error
        raise
