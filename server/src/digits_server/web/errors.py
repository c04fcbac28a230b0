"""Errors as HTTP answers: the status by the error's type, as with gRPC."""

import logging
from math import ceil

from starlette.requests import Request
from starlette.responses import JSONResponse

from digits_server.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from digits_server.service.calls import REQUEST_ID, sane_id
from digits_server.web.routes import ROUTE

log = logging.getLogger(__name__)

STATUSES: dict[type[ServingError], int] = {
    InvalidRequest: 400,
    Unauthenticated: 401,
    NotFound: 404,
    RequestTooLarge: 413,
    Unimplemented: 415,
    Overloaded: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
}
"""Any other is 500."""

CLIENT_GONE = 499
"""The status counted for callers who left before their answer; nobody receives it."""

UNREAD_BODY = (Unauthenticated, RequestTooLarge, Unimplemented, DeadlineExceeded)
"""After these, more of the body may come; nobody reads it, so the connection is not used again."""


def error_response(error: ServingError) -> JSONResponse:
    """`{"error": …}` with the error's status."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(ceil(error.retry_after_ms / 1000))  # whole seconds
    if isinstance(error, Unimplemented):
        headers["accept-encoding"] = "identity"
    if isinstance(error, UNREAD_BODY):
        headers["connection"] = "close"
    return JSONResponse({"error": error.message}, STATUSES.get(type(error), 500), headers)


def failure_response(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request on which we have failed. Logs the error under the id that the caller is told."""
    request_id = request.scope.get(REQUEST_ID) or sane_id(request.headers.get(REQUEST_ID))
    log.error("%s failed", request.scope.get(ROUTE), exc_info=error, extra={"request_id": request_id})
    return error_response(
        ServingError(f"the server failed on this request; its log says why (request id {request_id})")
    )
