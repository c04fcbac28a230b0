"""What the page and the files it asks for have in common: headers and caching."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

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
