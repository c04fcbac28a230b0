"""The state of `grpc.health.v1`, as the health checking protocol describes it (grpc/doc/health-checking.md)."""

import asyncio
from collections.abc import AsyncIterator

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse

from digits_server.errors import NotFound
from digits_server.service.calls import Call


class Health:
    """One status for the whole server (the empty name) and for each service by name. Lives on the event loop."""

    def __init__(self, services: tuple[str, ...], draining: asyncio.Event) -> None:
        self._services = frozenset(("", *services))
        self._status: int = HealthCheckResponse.NOT_SERVING
        self._changed = asyncio.Event()
        self._draining = draining

    def set_serving(self, serving: bool) -> None:
        """Changes every status and tells the watchers."""
        self._status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    async def check(self, request: HealthCheckRequest, _call: Call) -> HealthCheckResponse:
        """The status of one service. Raises NotFound for an unknown name."""
        if request.service not in self._services:
            raise NotFound("service: no service of this name is registered")
        return HealthCheckResponse(status=self._status)

    async def list_all(self, _request: HealthListRequest, _call: Call) -> HealthListResponse:
        return HealthListResponse(
            statuses={name: HealthCheckResponse(status=self._status) for name in sorted(self._services)}
        )

    async def watch(
        self, requests: AsyncIterator[HealthCheckRequest], _call: Call
    ) -> AsyncIterator[HealthCheckResponse]:
        """The status of one service now and after each change, until the server drains."""
        request = await anext(requests)
        sent: int | None = None
        while True:
            changed = self._changed
            status = self._status if request.service in self._services else HealthCheckResponse.SERVICE_UNKNOWN
            if status != sent:
                yield HealthCheckResponse(status=status)
                sent = status
                continue  # it may have changed while the message was sent
            if self._draining.is_set():
                return  # a normal end: before an error status, clients may drop the last message
            await changed.wait()
