"""Bounds the connections of native, whose library does not: the idle ones beyond the limit are closed.

The connections are the library's own, but their descriptors are in this process. A look at them needs no free
descriptor, because there may be none.
"""

import asyncio
import logging
import os
import resource
import socket
import struct
import sys
from collections.abc import Sequence

LOOK_SECONDS = 0.1
"""Time between two checks of how many descriptors there are."""

OTHER_FILES = 512
"""Files for HTTP and models, or half of those that the process may open if they are fewer."""

LOG_SECONDS = 10.0
"""Time between two log lines about closed connections."""

LAST_RECEIVED = struct.Struct("52x I")
"""In the kernel's tcp_info: milliseconds since data came."""

log = logging.getLogger(__name__)


async def close_surplus(port: int, most: int) -> None:
    """Closes connections to `port` beyond `most`, those first that have sent nothing for longest, until cancelled.

    If the process may open few files, fewer connections stay, so that HTTP has some. Ends at once on a system that does
    not show descriptors.
    """
    if sys.platform != "linux":
        return
    loop = asyncio.get_running_loop()
    closed, logged = 0, -LOG_SECONDS
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        files = _open_files()
        allowed = min(most, max(files - OTHER_FILES, files // 2))
        if len(_descriptors()) > allowed:
            closed += await asyncio.to_thread(_close, port, allowed)
        if closed and loop.time() > logged + LOG_SECONDS:
            log.warning(
                "closed %d gRPC connections: more than %d were open (max_grpc_connections, or the limit of open files)",
                closed,
                allowed,
            )
            closed, logged = 0, loop.time()


def _close(port: int, most: int) -> int:
    """Closes the surplus connections; how many."""
    idle = [(milliseconds, number) for number in _descriptors() if (milliseconds := _idle(number, port)) is not None]
    surplus = sorted(idle, reverse=True)[: max(0, len(idle) - most)]
    for _, number in surplus:
        if _idle(number, port) is not None:  # it may have been closed meanwhile, and the number given to another file
            _shut(number)
    return len(surplus)


def _descriptors() -> Sequence[int]:
    """The open descriptors; if none is left to list them with, all that there can be."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - ten times a second, without objects
    except OSError:
        return range(_open_files())


def _open_files() -> int:
    """How many files the process may open."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if most == resource.RLIM_INFINITY else most


def _idle(number: int, port: int) -> int | None:
    """Milliseconds since a connection to `port` has sent anything; None if the descriptor is something else."""
    try:
        connection = socket.socket(fileno=number)
    except OSError:
        return None
    try:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != port:
            return None
        connection.getpeername()  # a listening socket has none
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_RECEIVED.size)
        return int(LAST_RECEIVED.unpack(info)[0])
    except (OSError, struct.error):
        return None
    finally:
        connection.detach()  # it stays the library's


def _shut(number: int) -> None:
    """Ends the connection; the library closes its descriptor when it notices."""
    connection = socket.socket(fileno=number)
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # its caller was faster
    finally:
        connection.detach()
