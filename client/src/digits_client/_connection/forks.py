"""Detects that gRPC cannot work after a fork.

gRPC's own threads do not exist in a forked child: a call there would wait for ever, past its deadline, or end the
process. So a child of a process that has used gRPC, through this client or another library, gets an error instead,
unless the environment variable GRPC_ENABLE_FORK_SUPPORT made gRPC prepare for forks. A client that has made no call yet
may be forked freely.

Forks are found by the process's own number, not by Python's hooks: a fork made in C, as uWSGI does, runs none of them.
"""

import gc
import os
from contextlib import suppress
from pathlib import Path

import grpc
from grpc import aio

from digits_client._errors import Misused

SUPPORTED = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "0").lower() in {"1", "true", "yes", "y", "t"}
"""gRPC reads the variable the same way, once, when it is imported."""

SENTENCE = (
    "this process was forked from one that had already called a server, and gRPC's threads do not survive that: "
    "make the first call after the fork, or start processes with the spawn method"
)

_FORKED = 0x40
"""Linux's PF_FORKNOEXEC among a process's flags: it was forked, and runs no new program since."""
_FLAGS = 6
"""The position of the flags in /proc/self/stat, counted after the program's name."""
_THREADS = ("grpc", "event_engine")
"""How the names of gRPC's threads begin."""
_USERS = (grpc.Channel, grpc.Server, aio.Channel, aio.Server)
"""The types of objects that keep gRPC running."""


class _Process:
    """The process that connected last: its number, and whether it lost gRPC by a fork."""

    def __init__(self) -> None:
        self.imported = os.getpid()
        self.connected: int | None = None
        self.lost = False


_process = _Process()


def connecting(*, on_event_loop: bool) -> None:
    """Called before a channel is made.

    Misused if the channel would hang; gRPC's event loops do not support forks at all.
    """
    process = os.getpid()
    if process != _process.connected:
        _process.lost = _process.lost or _process.connected is not None or _inherited()
        if not _process.lost:
            _process.connected = process
    if _process.lost and (on_event_loop or not SUPPORTED):
        raise Misused(SENTENCE)


def _inherited() -> bool:
    """Whether another library had used gRPC before this process was forked: then there are channels but no threads."""
    return _is_forked() and not _has_threads() and _has_users()


def _is_forked() -> bool:
    try:
        flags = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[_FLAGS])
    except (OSError, ValueError, IndexError):  # not Linux
        flags = 0
    return bool(flags & _FORKED) or os.getpid() != _process.imported


def _has_threads() -> bool:
    """Whether gRPC's threads exist, as far as the system shows them: then gRPC was used after the fork, too."""
    for name in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has ended meanwhile
            if name.read_text().startswith(_THREADS):
                return True
    return False


def _has_users() -> bool:
    """Whether there is any channel or server. Walks all objects, once in a forked process, in tens of milliseconds."""
    frozen = bool(gc.get_freeze_count())  # gc.freeze(), as servers do before they fork: frozen objects are not listed
    if frozen:
        gc.unfreeze()
    try:
        kinds = {id(type(each)): type(each) for each in gc.get_objects()}  # by id: some classes cannot be hashed
    finally:
        if frozen:
            gc.freeze()
    return any(base is user for kind in kinds.values() for base in kind.__mro__ for user in _USERS)
