"""Routes whose answers are counted, under their pattern of paths and never under a path itself."""

from collections.abc import Awaitable, Callable
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from digits_server.observability.metrics import HttpMetrics

Endpoint = Callable[[Request], Awaitable[Response]]

ROUTE = "digits.route"
TRACE_ID = "digits.trace_id"
"""Keys of a request's scope: the pattern it is answered under, and the trace that is an example of its latency."""

FAILED = 500
"""The status of what ends in an exception: whoever catches it answers so."""


def counted(metrics: HttpMetrics, path: str, endpoint: Endpoint, *methods: str) -> Route:
    """`endpoint` at `path`, by GET unless other methods are named."""

    async def answer(request: Request) -> Response:
        request.scope[ROUTE] = path
        status = FAILED
        begin = perf_counter()
        try:
            response = await endpoint(request)
            status = response.status_code
        finally:
            metrics.answered(path, status, perf_counter() - begin, request.scope.get(TRACE_ID))
        return response

    return Route(path, answer, methods=methods or ("GET",))
