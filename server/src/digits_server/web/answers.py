"""What the page and the files it asks for have in common: headers, caching, errors as JSON."""

import hashlib
from functools import wraps

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from digits_server.errors import ServingError
from digits_server.web.errors import CLIENT_GONE, error_response, failure_response
from digits_server.web.routes import Endpoint

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""No guessing of types, no addresses told to others, nothing for the pages of others to embed."""

UNCACHED = {**HEADERS, "cache-control": "no-store"}


def cached(request: Request, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    """The body, or 304 where the browser has it. The browser asks each time: all of this changes with the version."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**headers, "content-type": content_type, "cache-control": "no-cache", "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)


def answering_errors(handler: Endpoint) -> Endpoint:
    """The handler with its errors as JSON: {"error": one sentence for the person at the page}."""

    @wraps(handler)
    async def answering(request: Request) -> Response:
        try:
            return await handler(request)
        except ServingError as error:
            response = error_response(error)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        except Exception as error:  # noqa: BLE001 - it is logged
            response = failure_response(request, error)
        response.headers.update(UNCACHED)
        return response

    return answering
