"""The entry to everything over HTTP: finds the route, checks the caller, answers or rejects the request, and counts it.

One place knows the routes and guards them, so that the guard and the router can never read a path differently.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from time import perf_counter

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from digits_server.errors import InvalidRequest, NotFound, ServingError, Unauthenticated
from digits_server.observability.failures import Failures
from digits_server.observability.http_metrics import HttpMetrics
from digits_server.observability.rejection_counts import Rejections
from digits_server.security.access import Access
from digits_server.security.authentication import Guard
from digits_server.web.errors import CLIENT_GONE, STATUSES, MethodNotAllowed, error_response, failure_response
from digits_server.web.origins import Origins
from digits_server.web.places import Places
from digits_server.web.routes import BROKEN, PROBE, ROUTE, TRACE_ID, UNKNOWN, Route

MISSING = "Bearer"
WRONG = 'Bearer error="invalid_token"'
"""Headers for a caller without a token, and for one with an unknown token (RFC 6750, section 3)."""

FAILED = 500
"""The status counted for a request that ended without an answer."""

PROTECTIVE = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""Headers of every rejection."""


class Doors:
    """The ASGI application: `routes`, each with its rules of access. The first one that matches answers.

    guard    checks tokens
    origins  checks the host name and the site of a request
    places   has a place for each request that is not a probe
    """

    def __init__(
        self,
        routes: Sequence[Route],
        *,
        guard: Guard,
        origins: Origins,
        places: Places,
        metrics: HttpMetrics,
        rejections: Rejections,
        failures: Failures,
    ) -> None:
        self._routes = routes
        self._guard = guard
        self._origins = origins
        self._places = places
        self._metrics = metrics
        self._rejections = rejections
        self._failures = failures
        metrics.expect([UNKNOWN, *(route.path for route in routes if route.counted)])

    def unreadable(self) -> None:
        """Counts data that was rejected because it is not HTTP."""
        self._metrics.answered(UNKNOWN, STATUSES[InvalidRequest], 0.0)
        self._rejections.add(InvalidRequest.reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begin = perf_counter()
        route, scope["path_params"] = self._find(scope["method"], scope["path"])
        if route:
            scope[PROBE] = route.is_probe
            if route.counted:
                scope[ROUTE] = route.path
        request = Request(scope, receive, send)
        response = None
        try:
            self._admit(request, route)
            if route is None:
                raise NotFound("no such path; it must be spelled exactly as documented")
            if request.method not in route.methods:
                raise MethodNotAllowed(route.methods)
            with self._places.request() if route.access is Access.CALLERS else nullcontext():
                response = await self._answer(request, route)
                await response(scope, receive, send)
        except ServingError as error:
            response = self._rejection(request, error)
            await response(scope, receive, send)
        finally:
            if route is None or route.counted:
                status, seconds = response.status_code if response else FAILED, perf_counter() - begin
                self._metrics.answered(route.path if route else UNKNOWN, status, seconds, scope.get(TRACE_ID))

    def _find(self, method: str, path: str) -> tuple[Route | None, dict[str, str]]:
        """The first route that matches, preferably one with this method, and the parameters in the path."""
        matches = ((route, found) for route in self._routes if (found := route.match(path)) is not None)
        other: tuple[Route | None, dict[str, str]] = None, {}
        for route, parameters in matches:
            if method in route.methods:
                return route, parameters
            if other[0] is None:
                other = route, parameters
        return other

    def _admit(self, request: Request, route: Route | None) -> None:
        """Raises ServingError unless the caller may use the route or, if there is no route, may learn that."""
        self._origins.check(request.method, request.headers)
        access = route.access if route else Access.CALLERS
        self._guard.admit_to(access, request.scope["path"], request.headers.get("authorization"))

    async def _answer(self, request: Request, route: Route) -> Response:
        """The answer of the endpoint. Errors become answers, too."""
        try:
            return await route.endpoint(request)
        except ServingError as error:
            return self._rejection(request, error)
        except ClientDisconnect:
            broken = request.scope.get(BROKEN, False)
            self._rejections.add(InvalidRequest.reason if broken else "cancelled")
            return Response(status_code=STATUSES[InvalidRequest] if broken else CLIENT_GONE)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._rejections.add(ServingError.reason)
            return failure_response(self._failures, request, error)

    def _rejection(self, request: Request, error: ServingError) -> Response:
        self._rejections.add(error.reason)
        response = error_response(error)
        response.headers.update(PROTECTIVE)
        if isinstance(error, Unauthenticated):
            shown = request.headers.get("authorization", "").lower().startswith("bearer ")
            response.headers["www-authenticate"] = WRONG if shown else MISSING
        return response
