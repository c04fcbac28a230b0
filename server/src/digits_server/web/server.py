"""The HTTP server: uvicorn on the event loop of the RPCs, behind our own acceptor."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from digits_server.system.ports import listen
from digits_server.web.acceptor import Acceptor
from digits_server.web.connections import HEADERS_SECONDS, Connection
from digits_server.web.places import Places
from digits_server.web.reading import Turns

BACKLOG = 1024
"""Connections that may wait in the system until they are accepted."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, because the application decides when to stop, and without its listener."""

    acceptor: Acceptor

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - the acceptor has it
        await self.lifespan.startup()
        self.servers = [self.acceptor]  # type: ignore[list-item]  # it has the two methods that uvicorn calls
        self.acceptor.start()
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves `application` on host:port, with TLS if there is a context for it. Port 0 takes a free one.

    shared      whether other processes of the same server listen there too
    places      the places of its connections
    seconds     most time from a request's headers to its answer
    unreadable  counts data that is not HTTP
    """

    def __init__(
        self,
        application: ASGIApp,
        host: str,
        port: int,
        *,
        shared: bool,
        places: Places,
        seconds: float,
        unreadable: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._shared = shared
        self.port = port
        self._places = places
        self._seconds = seconds
        self._unreadable = unreadable
        self._tls = tls
        self._turns = Turns()
        self._server = _Server(
            uvicorn.Config(
                application,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_keep_alive=HEADERS_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )

    async def start(self) -> None:
        """Listens. Raises AddressUnavailable if the address cannot be used."""
        listening = listen(self._host, self.port, "HTTP", shared=self._shared, backlog=BACKLOG)
        self.port = listening[0].getsockname()[1]
        self._server.acceptor = Acceptor(listening, self._places, self._connection, self._tls)
        self._serving = asyncio.create_task(self._server.serve(sockets=listening))

    async def stop(self) -> None:
        """Closes the listener and the connections."""
        self._server.should_exit = True
        await self._serving

    def _connection(self, accepted: socket.socket) -> Connection:
        server = self._server
        return Connection(
            accepted,
            self._places,
            turns=self._turns,
            seconds=self._seconds,
            unreadable=self._unreadable,
            config=server.config,
            server_state=server.server_state,
        )
