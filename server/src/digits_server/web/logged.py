"""One line of the log for each request over HTTP, with the id under which its caller knows it."""

import logging
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from digits_server.calls import REQUEST_ID, sane_id

log = logging.getLogger(__name__)

LONGEST_PATH = 200
"""Characters of a path that are logged."""


def logged(application: ASGIApp) -> ASGIApp:
    """`application`, whose requests are logged when they are answered; each answer says the request's id."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = sane_id(Headers(scope=scope).get(REQUEST_ID))
        status = 0
        begin = perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await application(scope, receive, send_with_id)
        finally:
            path = scope["raw_path"].decode("ascii", "replace")[:LONGEST_PATH]  # as sent: no character can break a line
            fields = {
                "method": f"{scope['method']} {path}",
                "status": status or "not answered",
                "milliseconds": round(1000 * (perf_counter() - begin), 3),
                "request_id": request_id,
            }
            log.info("request", extra=fields)

    return answer
