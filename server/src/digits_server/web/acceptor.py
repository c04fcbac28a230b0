"""Accepts HTTP connections: each one gets a place or is closed before anything is read from it."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress

from digits_server.observability.logs import visible
from digits_server.web.connections import Connection
from digits_server.web.places import Places

HANDSHAKE_SECONDS = 10.0
"""Time for a caller's TLS handshake."""

GOODBYE_SECONDS = 1.0
"""Time for a caller to confirm the end of a TLS session."""

AT_ONCE = 8
"""Connections accepted in one turn of the event loop: fewer than the reserved places, so that a new connection's
request is read before another connection can take its place."""

PAUSE_SECONDS = 0.1
"""Pause before the next attempt if the system has no file descriptor left."""

log = logging.getLogger(__name__)


class Acceptor:
    """Accepts on `listening` from `start()` on.

    connection  makes the protocol of one connection
    tls         has each connection begin with a handshake
    """

    def __init__(
        self,
        listening: Sequence[socket.socket],
        places: Places,
        connection: Callable[[socket.socket], Connection],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listening = listening
        self._places = places
        self._connection = connection
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for listener in self._listening:
            listener.setblocking(False)
            self._resume(listener)

    def close(self) -> None:
        """Stops accepting. Handshakes in progress are cancelled."""
        for listener in self._listening:
            self._loop.remove_reader(listener)
            listener.close()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Returns when no handshake is in progress."""
        if self._opening:
            await asyncio.wait(self._opening)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(AT_ONCE):
            try:
                accepted, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor is left
                self._loop.remove_reader(listener)
                self._loop.call_later(PAUSE_SECONDS, self._resume, listener)
                return
            accepted.setblocking(False)
            with suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._connection(accepted)
            if not self._places.enter(connection):
                accepted.close()
                continue
            task = self._loop.create_task(self._open(connection, accepted, f"{peer[0]}:{peer[1]}"))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._accept, listener)

    async def _open(self, connection: Connection, accepted: socket.socket, peer: str) -> None:
        try:
            if self._tls is None:
                await self._loop.connect_accepted_socket(lambda: connection, accepted)
            else:
                await self._loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self._tls,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=GOODBYE_SECONDS,
                )
        except OSError as error:  # TLS errors too: the data was not a handshake, or it came too late
            self._places.leave(connection)
            if not connection.pushed_out:
                self._places.closed("tls", {"peer": peer, "error": visible(str(error) or type(error).__name__)})
            accepted.close()
        except asyncio.CancelledError:
            self._places.leave(connection)
            accepted.close()
