"""The configuration Envoy starts with."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from digits_server.tls import HANDSHAKE_SECONDS
from digits_server.transports.envoy.admission import at_most
from digits_server.transports.envoy.overload import overload_manager
from digits_server.transports.envoy.refusals import as_exhausted
from digits_server.transports.envoy.typed import typed
from digits_server.transports.grpc_wire import PREFIX_BYTES
from digits_server.transports.limits import PING_SECONDS, PONG_SECONDS, Limits

MAX_CONCURRENT_STREAMS = 100
"""The most calls of one connection at once: as few as RFC 9113 (6.5.2) recommends, for each takes some 13 KiB before it
is known whether there is room for it."""

STREAM_WINDOW_BYTES = 1024 * 1024
CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024
"""What a caller may send ahead of what Envoy has read."""

HEADERS_SECONDS = 10
"""What a caller has to send the headers of a call once it has begun them."""

MAX_HEADERS_KIB = 64
"""Headers of one call that are read at all, so that a call over MAX_METADATA_BYTES can be refused by itself. Beyond it
Envoy ends the connection."""

MAX_HEADERS = 2048
"""The most there can be in so many KiB, at 32 bytes each."""

DRAIN_SECONDS = 0.2
"""Between telling a connection that no more calls will be taken, and taking no more: what is under way may arrive."""

CALLS_IN_TURN = 32
"""Of one connection, before the others have their turn: what a caller has sent ahead holds up his own calls alone."""

RESETS = 100_000
"""Calls of one connection from which on it is closed when it has given up most of them within a second: an attack, but
also what callers do whose deadlines pass, so that it is no sooner."""

RELEASED_BYTES = 8 * 1024 * 1024
"""Of freed memory, given back to the system each second at most. Envoy's allocator, which is Python's too there, would
keep all of it. What is used again at once costs a page fault for each 4 KiB."""


def configuration(
    *,
    application: str,
    address: str,
    port: int,
    shared: bool,
    admin: str,
    limits: Limits,
    memory_bytes: int,
    door: Path,
    tls: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Envoy's bootstrap: one listener for HTTP/2 on address:port, whose calls `application` answers.

    application   "module:attribute", an ASGI application
    shared        whether other processes of the same server listen there too
    admin         path of the socket on which Envoy takes orders; nothing of it is on the network
    memory_bytes  of the process, beyond which no further call is taken
    door          the file that says whether new connections are taken
    tls           the transport socket of `secrets`, in TLS
    """
    return {
        "node": {"id": "digits-server", "cluster": "digits-server"},  # it asks for names before it reads secrets
        "admin": {"address": {"pipe": {"path": admin, "mode": 0o600}}, "ignore_global_conn_limit": True},
        "memory_allocator_manager": {"bytes_to_release": RELEASED_BYTES, "memory_release_interval": "1s"},
        "layered_runtime": {
            "layers": [
                {
                    "name": "fixed",
                    "static_layer": {
                        "http.max_requests_per_io_cycle": CALLS_IN_TURN,
                        "overload.premature_reset_total_stream_count": RESETS,
                    },
                }
            ]
        },
        "overload_manager": overload_manager(connections=limits.connections, memory_bytes=memory_bytes, door=door),
        "static_resources": {"listeners": [_listener(application, address, port, limits, tls, shared=shared)]},
    }


def _listener(
    application: str, address: str, port: int, limits: Limits, tls: dict[str, Any] | None, *, shared: bool
) -> dict[str, Any]:
    manager = typed("filters.network.http_connection_manager", "HttpConnectionManager", _http(application, limits))
    everywhere = address == "::"  # then IPv4 too, as everybody else who listens there
    socket = {"address": address, "port_value": port, **({"ipv4_compat": True} if everywhere else {})}
    return {
        "name": "grpc",
        "address": {"socket_address": socket},
        "enable_reuse_port": shared,  # else a taken port is an error, not a share of somebody else's calls
        # Envoy keeps what Python has not read yet of one body, and refuses the call when that passes this bound: room
        # for a message and for what the windows let in on top.
        "per_connection_buffer_limit_bytes": limits.message_bytes + PREFIX_BYTES + 2 * STREAM_WINDOW_BYTES,
        "filter_chains": [{"filters": [manager], **_inside_tls(tls)}],
    }


def _inside_tls(tls: dict[str, Any] | None) -> dict[str, Any]:
    return {"transport_socket": tls, "transport_socket_connect_timeout": f"{HANDSHAKE_SECONDS}s"} if tls else {}


def _http(application: str, limits: Limits) -> dict[str, Any]:
    return {
        "codec_type": "HTTP2",
        "stat_prefix": "grpc",
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": "0s",  # a stream may rest as long as its caller likes
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "common_http_protocol_options": {
            "max_headers_count": MAX_HEADERS,
            "idle_timeout": f"{limits.idle_seconds}s",
            **({"max_connection_duration": f"{limits.age_seconds}s"} if limits.age_seconds else {}),
        },
        "drain_timeout": f"{DRAIN_SECONDS}s",
        "http2_protocol_options": {
            "max_concurrent_streams": min(limits.streams, MAX_CONCURRENT_STREAMS),
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
            "connection_keepalive": {"interval": f"{PING_SECONDS}s", "timeout": f"{PONG_SECONDS}s"},
            # The other codec ends a connection for a thousand calls given up, which then waits a second to be closed.
            "use_oghttp2_codec": True,
            "override_stream_error_on_invalid_http_message": True,  # a bad call is its own fault, not its neighbours'
        },
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"]}]},
        "local_reply_config": as_exhausted(limits.calls),
        "http_filters": [
            at_most(limits.calls),
            typed(
                "filters.http.dynamic_modules",
                "DynamicModuleFilter",
                {
                    "dynamic_module_config": {"module": {"local": {"filename": _module()}}},
                    "filter_name": "pyvoy",
                    "terminal_filter": True,
                    "filter_config": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": json.dumps({"app": application, "interface": "asgi", "lifespan": True}),
                    },
                },
            ),
        ],
    }


def _module() -> str:
    """Path of the module that embeds Python in Envoy."""
    found = find_spec("pyvoy._pyvoy")
    if found is None or found.origin is None:
        raise ImportError("pyvoy has no native module")
    return found.origin
