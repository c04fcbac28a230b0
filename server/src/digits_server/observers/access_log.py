"""The access log: one line for each RPC and HTTP request, with its method, status and duration, without content."""

import logging

from digits_server.errors import Status
from digits_server.rpcs.interceptors import WatchedCall
from digits_server.rpcs.rpc import Rpc
from digits_server.web.interceptors import WatchedRequest

log = logging.getLogger(__name__)


class AccessLog:
    """An observer that logs each call and each request when it has ended."""

    def began(self, rpc: Rpc, call: WatchedCall) -> None:
        pass

    def ended(self, rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None:
        _say("call", f"/{rpc.service}/{rpc.method}", status.name, seconds, call)

    def arrived(self, request: WatchedRequest) -> None:
        pass

    def answered(self, request: WatchedRequest, seconds: float) -> None:
        _say("request", f"{request.method} {request.path}", request.status or "not answered", seconds, request)


def _say(what: str, method: str, status: str | int, seconds: float, asked: WatchedCall | WatchedRequest) -> None:
    fields = {
        "method": method,
        "status": status,
        "milliseconds": round(1000 * seconds, 3),
        "request_id": asked.request_id,
    }
    if asked.trace_id:
        fields["trace_id"] = asked.trace_id
    log.info(what, extra=fields)
