"""Errors as HTTP answers: the status by the error's type, as with gRPC."""

import asyncio
import logging
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
from digits_server.observability.rejection_counts import Rejections
from digits_server.service.calls import REQUEST_ID, sane_id
from digits_server.web.routes import ROUTE, UNKNOWN

log = logging.getLogger(__name__)


class ForeignHost(CallerError):
    """The request names another host than this one."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid"


class ForeignSite(CallerError):
    """The page of another site sent the request."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid"


class Crowded(Overloaded):
    """Too many other requests have the connections or the memory that this one needs."""


class MethodNotAllowed(CallerError):
    """The path is known, and not with this method."""

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
"""Any other is 500."""

CLIENT_GONE = 499
"""The status counted for callers who left before their answer; nobody receives it."""

UNREAD_BODY = (
    *(Unauthenticated, ForeignSite, ForeignHost, MethodNotAllowed, Crowded),
    *(RequestTooLarge, Unimplemented, DeadlineExceeded),
)
"""After these, more of the body may come; nobody reads it, so the connection is not used again."""

FAILURES_KEPT = 100
"""Failures that are remembered, so that each is logged in full once."""

LOG_SECONDS = 10.0
"""One line of the log in so many seconds says how many failures there were that are known already."""


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


class Failures:
    """Answers requests on which the server itself fails, and counts them.

    The first failure at each line of the code is logged in full. A caller that knows how to bring it about again adds
    to a number that the log has now and then.
    """

    def __init__(self, rejections: Rejections) -> None:
        self._rejections = rejections
        self._known: set[tuple[str, str, int]] = set()
        self._again = 0
        self._timer: asyncio.TimerHandle | None = None

    def response(self, request: Request, error: Exception) -> JSONResponse:
        """The answer. It names the id under which the log has the error."""
        self._rejections.add("internal", 1)
        request_id = request.scope.get(REQUEST_ID) or sane_id(request.headers.get(REQUEST_ID))
        if (place := _place(error)) in self._known or len(self._known) == FAILURES_KEPT:
            self._again += 1
            self._timer = self._timer or asyncio.get_running_loop().call_later(LOG_SECONDS, self._log)
        else:
            self._known.add(place)
            log.error("%s failed", request.scope.get(ROUTE, UNKNOWN), exc_info=error, extra={"request_id": request_id})
        return error_response(
            ServingError(f"the server failed on this request; its log says why (request id {request_id})")
        )

    def _log(self) -> None:
        log.error("%d requests failed again in a way that is logged above", self._again)
        self._again, self._timer = 0, None


def _place(error: Exception) -> tuple[str, str, int]:
    """What failed, and where."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last is None:
        return type(error).__name__, "", 0
    return type(error).__name__, last.tb_frame.f_code.co_filename, last.tb_lineno
