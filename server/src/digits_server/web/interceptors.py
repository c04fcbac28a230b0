"""Puts observers (access log, tracing) around HTTP requests. Without observers, the application is unchanged."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_server.service.calls import REQUEST_ID, TALLY, TRACEPARENT, Tally, sane_id, trace_of
from digits_server.web.routes import PROBE, ROUTE, TRACE_ID

LONGEST_PATH = 200
"""Longest part of a path that is kept, in characters."""


class WatchedRequest:
    """One request, with the data that its observers keep about it."""

    __slots__ = ("_scope", "headers", "request_id", "span", "status", "tally", "trace_id")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.headers = Headers(scope=scope)
        self.request_id = scope[REQUEST_ID] = sane_id(self.headers.get(REQUEST_ID))
        self.tally = Tally()
        self.span: Any = None
        self.trace_id = trace_of(self.headers.get(TRACEPARENT))
        self.status = 0
        """The status of the answer; 0 before it."""

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def path(self) -> str:
        """As it was sent, percent-encoded: no character in it can break a line."""
        return str(self._scope["raw_path"].decode("ascii", "replace")[:LONGEST_PATH])

    @property
    def route(self) -> str | None:
        """The pattern of the route that answered it, if there is one."""
        return self._scope.get(ROUTE)

    @property
    def peer(self) -> tuple[str, int] | None:
        """Address and port at the other end of its connection."""
        return self._scope.get("client")

    @property
    def is_probe(self) -> bool:
        """Whether its route is one that probes and scrapers request every few seconds."""
        return bool(self._scope.get(PROBE))

    def metadata(self, name: str) -> str | None:
        """The last header of this name."""
        values = self.headers.getlist(name)
        return values[-1] if values else None

    def exemplify(self) -> None:
        """Makes this trace the example of its latency bucket."""
        self._scope[TRACE_ID] = self.trace_id


class WebWatcher(Protocol):
    """An observer of every request, called on the event loop, in the task that answers the request."""

    def arrived(self, request: WatchedRequest) -> None: ...

    def answered(self, request: WatchedRequest, seconds: float) -> None: ...


def watched(application: ASGIApp, watchers: Sequence[WebWatcher]) -> ASGIApp:
    """`application` with `watchers` around it, told in this order; each answer carries the request's id."""
    if not watchers:
        return application

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = WatchedRequest(scope)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request.request_id
            await send(message)

        begin = perf_counter()
        TALLY.set(request.tally)
        for watcher in watchers:
            watcher.arrived(request)
        try:
            await application(scope, receive, send_with_id)
        finally:
            seconds = perf_counter() - begin
            for watcher in watchers:
                watcher.answered(request, seconds)

    return answer
