"""The HTTP server beside the RPCs: uvicorn on the same event loop."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from digits_server.system.ports import taken
from digits_server.web.connections import HEADERS_SECONDS, Connection

MAX_REQUEST_BYTES = 16 * 1024
"""Bytes of a request's line and headers."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is for the application to say."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves `application` on host:port, in TLS where there is a context for it. Port 0 takes a free one.

    shared  whether other processes of the same server listen there too
    """

    def __init__(
        self,
        application: ASGIApp,
        host: str,
        port: int,
        *,
        shared: bool,
        max_connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._host = host
        self._shared = shared
        self.port = port
        self._server = _Server(
            uvicorn.Config(
                application,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                limit_concurrency=max_connections,
                h11_max_incomplete_event_size=MAX_REQUEST_BYTES,
                timeout_keep_alive=HEADERS_SECONDS,
                timeout_graceful_shutdown=1,
                ssl_context_factory=(lambda *_: tls) if tls else None,
            )
        )

    async def start(self) -> None:
        """Listens. Raises AddressUnavailable when the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listener = socket.create_server((self._host, self.port), family=family, reuse_port=self._shared)
        except OSError as error:
            raise taken(self._host, self.port, "HTTP") from error
        self.port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))

    async def stop(self) -> None:
        """Closes the listener and the connections."""
        self._server.should_exit = True
        await self._serving
