"""The reference transport: its options, and how it starts and stops."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from digits_server.rpcs.rpc import StreamRpc, UnaryRpc
from digits_server.security.reloading import Reloading
from digits_server.security.tls import HANDSHAKE_SECONDS, Identity
from digits_server.system.ports import why_unavailable
from digits_server.transports.grpcio.gate import Gate
from digits_server.transports.grpcio.methods import Methods
from digits_server.transports.limits import (
    MAX_METADATA_BYTES,
    PING_SECONDS,
    PONG_SECONDS,
    SETTLE_SECONDS,
    Limits,
)

MIN_PING_SECONDS, PING_STRIKES = 10, 2
"""If a caller pings more often than this, this many times, its connection is closed."""

GOAWAY_SECONDS = 0.02
"""Time for clients to read this, before the held calls are answered and the clients send the next ones."""

IDENTITY_ONLY = 1
"""Bit set of message encodings: no compression. grpcio inflates without a bound, so a few kilobytes could fill the
memory; and pixels are small."""


class GrpcioTransport:
    """Serves `rpcs` on host:port, with TLS if there is an `identity`. Port 0 takes a free one.

    refused      counts a call that grpcio refuses by itself, by reason: UNKNOWN_METHOD or UNREAD
    shared       whether other processes of the same server listen there too
    unix_socket  listens at this path instead of host:port, for calls that another transport passes on
    """

    def __init__(
        self,
        rpcs: Iterable[UnaryRpc | StreamRpc],
        host: str,
        port: int,
        limits: Limits,
        *,
        refused: Callable[[str], None] = lambda _: None,
        shared: bool = False,
        identity: Reloading[Identity] | None = None,
        unix_socket: Path | None = None,
    ) -> None:
        self._rpcs = list(rpcs)
        self._identity = identity
        self._refused = refused
        self._gate = Gate()
        self._host = host
        self.port = port
        self._unix_socket = unix_socket
        self._unfinished = limits.unfinished
        self._options = _options(limits, shared=shared)

    async def open(self) -> None:
        self._server = aio.server(options=self._options)
        self._server.add_generic_rpc_handlers([Methods(self._rpcs, self._gate, self._refused, self._unfinished)])
        if self._unix_socket:
            self._server.add_insecure_port(f"unix:{self._unix_socket}")
        else:
            self._listen()

    async def start(self) -> None:
        await self._server.start()

    def _listen(self) -> None:
        host = f"[{self._host}]" if ":" in self._host else self._host
        address = f"{host}:{self.port}"
        try:
            if self._identity is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(self._identity))
        except RuntimeError as error:
            raise why_unavailable(self._host, self.port, "gRPC") from error

    async def stop(self, grace: float) -> None:
        """Stops as `Transport.stop` says, without cutting off a call.

        Calls are answered as they come, until none has come for a while, a second at most. When grpcio stops, it
        cancels calls that it has received but not yet handed over. So further calls are held at the gate, until none
        has come for a while or their deadlines allow no more; clients are told to go elsewhere; then the held calls
        are answered.
        """
        await self._gate.arrivals.quiet(min(SETTLE_SECONDS, grace))
        self._gate.closed = True
        await self._gate.arrivals.quiet(min(SETTLE_SECONDS, grace))
        stopping = asyncio.create_task(self._server.stop(grace))
        await asyncio.sleep(GOAWAY_SECONDS)
        self._gate.open()
        await stopping


def _options(limits: Limits, *, shared: bool) -> list[tuple[str, int]]:
    idle = [("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1000))] if limits.idle_seconds else []
    age = [("grpc.max_connection_age_ms", round(limits.age_seconds * 1000))] if limits.age_seconds else []
    return [
        ("grpc.so_reuseport", int(shared)),  # otherwise a taken port is an error
        ("grpc.compression_enabled_algorithms_bitset", IDENTITY_ONLY),
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", limits.streams),
        # A call counts against the stream limit until its memory is freed, some time after the client has the reply. A
        # client that has more calls than the limit sends its next one at once, so ended calls need a separate limit:
        # otherwise the next call is refused (REFUSED_STREAM). Calls that their callers cancelled count in the same way.
        ("grpc.http2.max_deallocating_streams", limits.streams),
        # To refuse a call in Python costs nearly as much as to answer it, so grpcio's core refuses further calls.
        ("grpc.server.max_pending_requests", limits.calls),
        ("grpc.server.max_pending_requests_hard_limit", limits.calls),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
        ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", PONG_SECONDS * 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_SECONDS * 1000),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
        *idle,
        *age,
    ]


def _credentials(identity: Reloading[Identity]) -> grpc.ServerCredentials:
    """Credentials that follow `identity`. gRPC asks for them before each handshake, in its own threads."""
    given = identity.value

    def renewed() -> Any:
        nonlocal given
        if given is identity.value:
            return None  # unchanged: keep what gRPC has built
        given = identity.value
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), renewed, require_client_authentication=given.client_ca is not None
    )


def _configuration(own: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(own.key, own.certificate)], own.client_ca)
