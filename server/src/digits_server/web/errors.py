"""Errors as HTTP answers: as with gRPC, the type of the error decides the status."""

from math import ceil

from starlette.requests import Request
from starlette.responses import JSONResponse

from digits_server.errors import (
    CallerError,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Status,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from digits_server.observability.failures import Failures
from digits_server.service.calls import REQUEST_ID, sane_id
from digits_server.web.routes import ROUTE, UNKNOWN


class ForeignHost(CallerError):
    """The request names another host than this one."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid"


class ForeignSite(CallerError):
    """A page of another site sent the request."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid"


class Crowded(Overloaded):
    """Other requests use all connections, or the memory that this one needs."""


class MethodNotAllowed(CallerError):
    """The path exists, but not with this method."""

    status = Status.UNIMPLEMENTED
    reason = "invalid"

    def __init__(self, methods: tuple[str, ...]) -> None:
        super().__init__(f"expected one of the methods {', '.join(methods)}")
        self.methods = methods


STATUSES: dict[type[ServingError], int] = {
    InvalidRequest: 400,
    Unauthenticated: 401,
    ForeignSite: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    RequestTooLarge: 413,
    Unimplemented: 415,
    ForeignHost: 421,
    Overloaded: 429,
    Crowded: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
}
"""HTTP statuses by gRPC status; any other is 500."""

CLIENT_GONE = 499
"""The status that is counted, but never sent, for callers who left before their answer."""

UNREAD_BODY = (
    *(Unauthenticated, ForeignSite, ForeignHost, MethodNotAllowed, Crowded),
    *(RequestTooLarge, Unimplemented, DeadlineExceeded),
)
"""After these statuses the rest of the body is not read, so the connection is not used again."""


def error_response(error: ServingError) -> JSONResponse:
    """`{"error": …}` with the error's status."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(ceil(error.retry_after_ms / 1000))  # whole seconds
    if isinstance(error, Unimplemented):
        headers["accept-encoding"] = "identity"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = ", ".join(error.methods)
    if isinstance(error, UNREAD_BODY):
        headers["connection"] = "close"
    return JSONResponse({"error": error.message}, STATUSES.get(type(error), 500), headers)


def failure_response(failures: Failures, request: Request, error: Exception) -> JSONResponse:
    """The answer to a request on which the server failed. It names the request id, which the log has, too."""
    request_id = request.scope.get(REQUEST_ID) or sane_id(request.headers.get(REQUEST_ID))
    failures.report(request.scope.get(ROUTE, UNKNOWN), error, request_id)
    return error_response(
        ServingError(f"the server failed on this request; its log says why (request id {request_id})")
    )
