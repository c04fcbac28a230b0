"""Errors as HTTP answers: the status by the error's type, as with gRPC."""

from math import ceil

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
