"""Clients are told of a stop through the library's sockets, while the library goes on serving.

When the library is closed, it ends the calls in flight, even answered ones whose reply it has not written yet, and only
then tells clients to go elsewhere. A call that arrives just then would be lost. So its port is closed first, and its
clients are told first: what they have sent is answered, and they send further calls to other servers.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fcntl import ioctl
from pathlib import Path
from termios import TIOCOUTQ
from time import monotonic

GOAWAY = bytes.fromhex("000008 07 00 00000000 7fffffff 00000000")
"""The HTTP/2 frame that asks for no more calls on a connection (RFC 9113, 6.8). It promises that calls that the client
sends before it reads this will be answered."""

DESCRIPTORS = Path("/dev/fd")

LOOK_SECONDS = 0.001
"""Time between two checks whether a client has read its replies."""


async def send_away(port: int, seconds: float) -> None:
    """Closes `port` for new connections, and tells the clients of open ones, within `seconds`.

    A client that has not read its replies by then is left out: the library may have written a part of a frame, and
    nothing may come between that and the rest.
    """
    end = monotonic() + seconds
    with suppress(OSError), ExitStack() as closing:  # where descriptors cannot be listed, clients are told by `close()`
        connections = [closing.enter_context(each) for each in _connections(port)]
        while connections and monotonic() < end:
            connections = [each for each in connections if not _tell(each)]
            await asyncio.sleep(LOOK_SECONDS)


def _connections(port: int) -> Iterator[socket.socket]:
    """A copy of each open connection of `port`, which is closed for further ones."""
    for descriptor in [int(path.name) for path in DESCRIPTORS.iterdir() if path.is_socket()]:
        with suppress(OSError):  # closed meanwhile
            copy = socket.socket(fileno=os.dup(descriptor))
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] == port:
                if not copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield copy
                    continue
                _put_nothing_at(descriptor)
            copy.close()


def _put_nothing_at(descriptor: int) -> None:
    """Closes what is open there, and keeps the number taken: the library will close it."""
    with socket.socket(socket.AF_UNIX) as nothing:
        os.dup2(nothing.fileno(), descriptor, inheritable=False)


def _tell(connection: socket.socket) -> bool:
    """Whether this client has been told, or has left."""
    try:
        if int.from_bytes(ioctl(connection, TIOCOUTQ, bytes(4)), "little"):
            return False
        return connection.send(GOAWAY, socket.MSG_DONTWAIT) > 0
    except OSError:
        return True
