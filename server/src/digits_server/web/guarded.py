"""Asks for a token before anything is answered over HTTP."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from digits_server.errors import NotFound, Unauthenticated
from digits_server.security.authentication import Guard
from digits_server.web.errors import error_response

MISSING = "Bearer"
WRONG = 'Bearer error="invalid_token"'
"""What tells a caller that a token is needed, and that its own is not known (RFC 6750, section 3)."""


def guarded(application: ASGIApp, guard: Guard) -> ASGIApp:
    """`application` for those whom `guard` admits; 401 for everybody else, before any of their body is read."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        authorization = Headers(scope=scope).get("authorization", "")
        try:
            guard.admit_to(scope["path"], authorization)
        except Unauthenticated as error:
            challenge = WRONG if authorization.lower().startswith("bearer ") else MISSING
            refusal = error_response(error)
            refusal.headers["www-authenticate"] = challenge
            await refusal(scope, receive, send)
        else:
            if not scope["path"].isprintable():  # the router's patterns ignore a line break at their end
                await error_response(NotFound("there is no such path"))(scope, receive, send)
                return
            await application(scope, receive, send)

    return answer
