"""The access log: one line for each RPC and HTTP request, with its method, its caller and its end, but no content."""

import logging
from urllib.parse import unquote

from digits_server.errors import Status
from digits_server.observability.logs import visible
from digits_server.rpcs.interceptors import WatchedCall
from digits_server.rpcs.rpc import Rpc
from digits_server.rpcs.table import is_probe
from digits_server.security.authentication import Tokens
from digits_server.security.reloading import Reloading
from digits_server.web.interceptors import WatchedRequest

SUCCESS = (Status.OK, Status.CANCELLED)
"""The statuses of a successful probe; a watch ends when its caller leaves."""

log = logging.getLogger(__name__)


class AccessLog:
    """An observer that logs each call and each request when it has ended, except probes and scrapes that succeed.

    tokens  the callers' tokens, whose names are logged; None: no token is needed
    """

    def __init__(self, tokens: Reloading[Tokens] | None) -> None:
        self._tokens = tokens

    def began(self, rpc: Rpc, call: WatchedCall) -> None:
        pass

    def ended(self, rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None:
        if not (status in SUCCESS and is_probe(rpc.service, rpc.method)):
            self._say("call", f"/{rpc.service}/{rpc.method}", status.name, seconds, call)

    def arrived(self, request: WatchedRequest) -> None:
        pass

    def answered(self, request: WatchedRequest, seconds: float) -> None:
        if not (request.is_probe and request.status in (200, 304)):
            method = f"{request.method} {request.path}"
            self._say("request", method, request.status or "not answered", seconds, request)

    def _say(
        self, what: str, method: str, status: str | int, seconds: float, asked: WatchedCall | WatchedRequest
    ) -> None:
        fields = {
            "method": method,
            "status": status,
            "milliseconds": round(1000 * seconds, 3),
            "request_id": asked.request_id,
            "peer": _address(asked.peer),
            "token": self._tokens and self._tokens.value.name(asked.metadata("authorization")),
            "images": asked.tally.images,
            "model_version": asked.tally.version,
            "trace_id": asked.trace_id,
        }
        log.info(what, extra={name: value for name, value in fields.items() if value})


def _address(peer: object) -> str:
    """Address and port of a peer, as each transport names it; empty if the transport does not name it."""
    if isinstance(peer, tuple):
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return visible(unquote(peer).removeprefix("ipv4:").removeprefix("ipv6:")) if isinstance(peer, str) else ""
