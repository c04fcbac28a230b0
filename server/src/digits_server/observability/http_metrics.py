"""The metrics of the HTTP port."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from digits_server.observability.collectors import Counter, Histogram

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

CLOSED_CONNECTIONS = ("limit", "pushed_out", "late", "tls")
"""Why the server closes an HTTP connection: no place is free, another connection needs its place, the caller is late,
or TLS fails."""

SERVER_FAILURES = (429, 499, 500, 503, 504)
"""HTTP statuses that are on the page from the start for each route: server busy, caller left, server failed, no model,
too slow."""


class HttpMetrics:
    """Requests answered over HTTP by route: a pattern of paths, never a caller's path."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            registry, "digits_http_requests", "HTTP requests answered, by route and status.", ("route", "status")
        )
        self._seconds = Histogram(
            registry,
            "digits_http_request_seconds",
            "Seconds from the headers of a request to its answer.",
            SECONDS,
            ("route",),
        )
        closed = Counter(
            registry,
            "digits_http_connections_closed",
            "HTTP connections that the server closed, by reason.",
            ("reason",),
        )
        self._closed = {reason: closed.labels(reason) for reason in CLOSED_CONNECTIONS}

    def expect(self, routes: Iterable[str]) -> None:
        """Shows a 0 for the failures of these routes, so that the first one is an increase."""
        for route in routes:
            for status in SERVER_FAILURES:
                self._requests.labels(route, str(status))

    def connection_closed(self, reason: str) -> None:
        """The server closed a connection, for one of the reasons in CLOSED_CONNECTIONS."""
        self._closed[reason].inc()

    def answered(self, route: str, status: int, seconds: float, trace_id: str | None = None) -> None:
        """One request was answered; its trace, if it was recorded, becomes an example of its latency."""
        self._requests.labels(route, str(status)).inc()
        buckets = self._seconds.labels(route)
        buckets.observe(seconds)
        if trace_id:
            buckets.exemplify(seconds, {"trace_id": trace_id})
