"""What is done to connections from outside of Envoy, which has no order for it: closing some, turning new ones away."""

import os
import socket
import stat
import struct
from collections.abc import Collection, Hashable, Iterator
from contextlib import suppress
from pathlib import Path

DESCRIPTORS = Path("/proc/self/fd")
MAPPED = "::ffff:"
"""How an IPv4 address begins where both kinds are listened to."""

DOOR = "door"
"""The file in the folder of `launch` from which Envoy reads whether it takes connections."""

RECEIVED_AT, RECEIVED = 128, struct.Struct("=Q")

OPEN, SHUT = "0", "1"


class Door:
    """Whether Envoy takes new connections; those it does not take it closes at once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DOOR
        self._path.write_text(OPEN)
        self._open = True

    def set_open(self, *, may_enter: bool) -> None:
        """Envoy sees it within a tick of its own; it looks at files that are put in place of others."""
        if may_enter != self._open:
            new = self._path.with_suffix(".new")
            new.write_text(OPEN if may_enter else SHUT)
            new.replace(self._path)
            self._open = may_enter


def received(port: int) -> dict[Hashable, int]:
    """Bytes that have come over each connection to our own `port`, by the caller's address and port."""
    return {peer: _received(connection) for peer, connection in _connections(port)}


def close(peers: Collection[Hashable], port: int) -> int:
    """Ends the connections from `peers` to our own `port`; returns how many there were.

    Envoy is in this process, and finds them ended as if their callers had.
    """
    ended = 0
    for peer, connection in _connections(port) if peers else ():
        if peer in peers:
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RD)
                ended += 1
    return ended


def _connections(port: int) -> Iterator[tuple[Hashable, socket.socket]]:
    """Envoy's connections, each open here as long as it is looked at."""
    for descriptor in [int(entry.name) for entry in DESCRIPTORS.iterdir()]:
        with suppress(OSError):  # it has ended meanwhile, or has no other end
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                with socket.socket(fileno=os.dup(descriptor)) as connection:
                    here, there = connection.getsockname(), connection.getpeername()
                    if here[1:2] == (port,):
                        yield (there[0].removeprefix(MAPPED), there[1]), connection


def _received(connection: socket.socket) -> int:
    """`tcpi_bytes_received` of Linux's `struct tcp_info`."""
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED_AT + RECEIVED.size)
    return int(RECEIVED.unpack_from(information, RECEIVED_AT)[0])
