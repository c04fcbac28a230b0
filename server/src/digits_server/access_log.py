"""One line of the log for each call: what was asked, how it ended, how long it took. Never what was in it."""

import logging

from digits_server.errors import Status
from digits_server.rpcs import Rpc
from digits_server.watching import WatchedCall

log = logging.getLogger(__name__)


class AccessLog:
    """A watcher that logs each call when it has ended."""

    def began(self, rpc: Rpc, call: WatchedCall) -> None:
        pass

    def ended(self, rpc: Rpc, call: WatchedCall, status: Status, seconds: float) -> None:
        fields = {
            "method": f"/{rpc.service}/{rpc.method}",
            "status": status.name,
            "milliseconds": round(1000 * seconds, 3),
            "request_id": call.request_id,
        }
        if call.trace_id:
            fields["trace_id"] = call.trace_id
        log.info("call", extra=fields)
