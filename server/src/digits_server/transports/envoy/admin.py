"""Orders to Envoy, over a socket that only this process has."""

import asyncio
import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 10.0
"""For one order; Envoy answers within a millisecond or not at all."""

PREFIX = "http.grpc."
CALLS, CONNECTIONS = "downstream_rq_total", "downstream_cx_total"
REFUSED = {
    "adaptive_concurrency.gradient_controller.rq_blocked": "max_calls",
    "downstream_rq_overload_close": "max_memory",
}
"""What Envoy calls the calls that it has refused, and the setting for which it did."""


class Admin:
    """Connects to Envoy's admin socket at `path`, then removes it: nobody else can come after."""

    def __init__(self, path: Path) -> None:
        self._one_by_one = threading.Lock()
        self._connection = http.client.HTTPConnection("envoy")
        self._connection.auto_open = 0  # there is no way back to this socket
        self._connection.sock = socket.socket(socket.AF_UNIX)
        self._connection.sock.settimeout(TIMEOUT_SECONDS)
        self._connection.sock.connect(str(path))
        path.unlink()

    async def serves(self) -> bool:
        """Whether Envoy has started and takes calls."""
        status, _ = await self._ask("GET", "/ready")
        return status == 200

    async def turn_callers_away(self) -> None:
        """Stops listening, and tells every connection with its next reply that further calls belong elsewhere."""
        await self._ask("POST", "/healthcheck/fail")
        await self._ask("POST", "/drain_listeners")

    async def unsent(self) -> int:
        """Replies not finished and bytes not sent, together: 0 when callers have what they wait for."""
        return sum((await self._values("downstream_(rq_active|cx_tx_bytes_buffered)")).values())

    async def refused(self) -> dict[str, int]:
        """Calls that Envoy has refused by itself so far, by reason."""
        values = await self._values("|".join(REFUSED))
        return {reason: values[statistic] for statistic, reason in REFUSED.items()}

    async def arrived(self) -> tuple[int, int, int]:
        """Calls that have come to Envoy so far, those it refused by itself, and connections."""
        values = await self._values("|".join((CALLS, *REFUSED, CONNECTIONS)))
        return values[CALLS], sum(values[each] for each in REFUSED), values[CONNECTIONS]

    async def _values(self, statistics: str) -> dict[str, int]:
        """Those whose names match the regular expression."""
        _, body = await self._ask("GET", f"/stats?format=json&filter=^{PREFIX}({statistics})$")
        return {each["name"].removeprefix(PREFIX): each["value"] for each in json.loads(body)["stats"]}

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        return await asyncio.to_thread(self._request, method, path)

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        with self._one_by_one:
            self._connection.request(method, path)
            reply: Any = self._connection.getresponse()
            return reply.status, reply.read()
