"""A file system that shows a folder, and at a signal stops answering, like a network volume without its server.

    python -m support.machine.volume MOUNT_POINT FOLDER [--restless]

SIGUSR1 stops the answers, SIGHUP makes every read fail, SIGUSR2 ends both. A restless volume shows other inodes and
times at each look, as object stores do. On its standard output it prints "mounted", "silent", "failing", and the files
that it reads.

It speaks the kernel's own protocol (https://docs.kernel.org/filesystems/fuse/fuse.html, linux/fuse.h), so that it needs
no library, but /dev/fuse and the right to mount.
"""

import ctypes
import errno
import os
import select
import signal
import stat
import struct
import sys
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from pathlib import Path


class Op(IntEnum):
    """The operations that the kernel requests."""

    LOOKUP, FORGET, GETATTR, READLINK = 1, 2, 3, 5
    OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 14, 15, 17, 18, 25, 26
    OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, BATCH_FORGET = 27, 28, 29, 34, 36, 42


UNANSWERED = {Op.FORGET, Op.INTERRUPT, Op.BATCH_FORGET}

REQUEST = struct.Struct("<IIQQIIIHH")
ANSWER = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<6Q10I")
LARGEST_REQUEST = 1024 * 1024
DIRECT_IO = 1
MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
MINOR = 31
"""Of version 7 of the protocol."""


class Volume:
    """The mounted folder. The kernel caches nothing: each access comes here."""

    def __init__(self, mount_point: str, folder: Path, *, restless: bool) -> None:
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        flags = MS_RDONLY | MS_NOSUID | MS_NODEV
        if libc.mount(b"digits", mount_point.encode(), b"fuse", flags, options.encode()):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), mount_point)
        self._paths = {1: folder}
        self._nodes = {folder: 1}
        self._numbers = count(2)
        self._restless = count(1_000_000) if restless else None
        self._silent = self._fails = False
        self._awake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)

    def serve(self) -> None:
        """Until the volume is unmounted."""
        signal.signal(signal.SIGUSR1, lambda *_: self._turn(silent=True))
        signal.signal(signal.SIGUSR2, lambda *_: self._turn(silent=False))
        signal.signal(signal.SIGHUP, lambda *_: self._fail())
        _say("mounted")
        while True:
            # While silent, requests stay in the kernel, where a process that waits for an answer can be killed. Once
            # a request was read here, the process could not be killed before the answer.
            ready, _, _ = select.select([self._awake, *([] if self._silent else [self._device])], [], [])
            if self._awake in ready:
                os.read(self._awake, 100)
                continue
            try:
                request = os.read(self._device, LARGEST_REQUEST)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno == errno.ENOENT:  # the caller has given up
                    continue
                raise
            self._answer(request)

    def _turn(self, *, silent: bool) -> None:
        self._silent, self._fails = silent, False
        if silent:
            _say("silent")

    def _fail(self) -> None:
        self._fails = True
        _say("failing")

    def _answer(self, request: bytes) -> None:
        _, operation, unique, node, *_ = REQUEST.unpack_from(request)
        if operation in UNANSWERED:
            return
        try:
            error, body = 0, self._body(operation, node, request[REQUEST.size :])
        except OSError as failure:
            error, body = -(failure.errno or errno.EIO), b""
        try:
            os.write(self._device, ANSWER.pack(ANSWER.size + len(body), error, unique) + body)
        except FileNotFoundError:  # the caller has given up
            return

    def _body(self, operation: int, node: int, argument: bytes) -> bytes:
        answers: dict[int, Callable[[Path, bytes], bytes]] = {
            Op.LOOKUP: self._lookup,
            Op.GETATTR: lambda path, _: struct.pack("<QII", 0, 0, 0) + self._attributes(path),
            Op.READLINK: lambda path, _: os.fsencode(path.readlink()),
            Op.OPEN: lambda *_: struct.pack("<QII", 0, DIRECT_IO, 0),
            Op.OPENDIR: lambda *_: struct.pack("<QII", 0, 0, 0),
            Op.READ: self._read,
            Op.READDIR: self._entries,
            Op.STATFS: lambda *_: bytes(80),
            **dict.fromkeys((Op.RELEASE, Op.FLUSH, Op.RELEASEDIR, Op.ACCESS), lambda *_: b""),
        }
        if operation == Op.INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, MINOR, 0, 0, 0, 0, 65536, 1, 0, 0, 0, *[0] * 7)
        if operation not in answers:
            raise OSError(errno.ENOSYS, "not implemented")
        return answers[operation](self._paths[node], argument)

    def _lookup(self, folder: Path, argument: bytes) -> bytes:
        path = folder / os.fsdecode(argument.rstrip(b"\0"))
        attributes = self._attributes(path)
        return struct.pack("<QQQQII", self._node(path), 0, 0, 0, 0, 0) + attributes

    def _read(self, path: Path, argument: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", argument)
        if self._fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if offset == 0:
            _say(path.name)
        return path.read_bytes()[offset : offset + size]

    def _entries(self, folder: Path, argument: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", argument)
        result = b""
        for place, path in enumerate(sorted(folder.iterdir())):
            if place < offset:
                continue
            kind = stat.S_IFMT(path.lstat().st_mode) >> 12
            name = os.fsencode(path.name)
            entry = struct.pack("<QQII", self._node(path), place + 1, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(result) + len(entry) > size:
                break
            result += entry
        return result

    def _attributes(self, path: Path) -> bytes:
        found = path.lstat()
        inode, changed, nanoseconds = found.st_ino, int(found.st_ctime), found.st_ctime_ns % 10**9
        if self._restless:
            inode = changed = next(self._restless)
        return ATTRIBUTES.pack(
            *(inode, found.st_size, found.st_blocks, int(found.st_atime), int(found.st_mtime), changed),
            *(0, found.st_mtime_ns % 10**9, nanoseconds, found.st_mode, found.st_nlink, found.st_uid, found.st_gid),
            *(0, 4096, 0),
        )

    def _node(self, path: Path) -> int:
        if path not in self._nodes:
            number = next(self._numbers)
            self._nodes[path], self._paths[number] = number, path
        return self._nodes[path]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Volume(sys.argv[1], Path(sys.argv[2]).resolve(), restless="--restless" in sys.argv).serve()
