"""An attacker with many connections to a server."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from support.wire.frames import PREFACE

SECONDS = 20.0
"""How long a server may leave an attacker's bytes unread before the attacker tries another connection."""
STREAMS = 100
"""Calls that an attacker begins on one connection: the most that any transport allows at once."""
MOST_CONNECTIONS = 2_000
"""Most times that an attacker connects again after it was disconnected."""

Wire = TypeVar("Wire")


class Attacker:
    """An attacker with connections to "host:port"; it counts the server's reactions."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self.target = target
        self._address = (host, int(port))
        self.open: list[socket.socket] = []
        self._held: list[object] = []
        self.sent = 0
        self.cut = 0

    def connect(self, begin: bytes = PREFACE) -> socket.socket:
        made = socket.create_connection(self._address, timeout=SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            made.sendall(begin)
        self.open.append(made)
        return made

    def hold_open(self, wire: Wire) -> Wire:
        """Keeps a connection of another kind open until the attacker ends."""
        self._held.append(wire)
        return wire

    def flood(self, pieces: Callable[[int], bytes], count: int, in_one: int = 100, begin: bytes = PREFACE) -> None:
        """Sends pieces(0), pieces(1), … until `count` have been sent, `in_one` at a time.

        Uses one connection after the other, as the server closes them; the numbers start again with each.
        """
        while self.sent < count and self.cut < MOST_CONNECTIONS:
            connection, number = self.connect(begin), 0
            threading.Thread(target=_read_all, args=[connection], daemon=True).start()
            try:
                while self.sent < count:
                    connection.sendall(b"".join(map(pieces, range(number, number + in_one))))
                    number += in_one
                    self.sent += in_one
            except OSError:
                self.cut += 1
                connection.close()

    def hold(self, call: Callable[[int], bytes], count: int, begin: bytes = PREFACE, on_each: int = STREAMS) -> None:
        """Sends call(0), call(1), … on each connection, as many as it may have at once, `count` in all."""
        while self.sent < count:
            connection = self.connect(begin)
            for number in range(min(on_each, count - self.sent)):
                with suppress(OSError):
                    connection.sendall(call(number))
                self.sent += 1

    def begin_all(self, request: bytes, count: int, callers: int = 4) -> None:
        """Lets threads send `request` again and again, each after its last answer; returns after `count`."""
        enough = threading.Event()

        def send_on() -> None:
            while True:
                with suppress(OSError), socket.create_connection(self._address, timeout=SECONDS) as connection:
                    while True:
                        connection.sendall(request)
                        if not connection.recv(65536):
                            break
                        self.sent += 1
                        if self.sent >= count:
                            enough.set()
                self.cut += 1

        for _ in range(callers):
            threading.Thread(target=send_on, daemon=True).start()
        enough.wait()


def _read_all(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(65536):
            pass
