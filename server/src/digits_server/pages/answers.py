"""Headers and caching of the page and the files it loads."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers that forbid guessing of content types, referrers, and embedding by pages of other sites."""

UNCACHED = {**HEADERS, "cache-control": "no-store"}


def cached(request: Request, body: bytes, content_type: str, headers: dict[str, str]) -> Response:
    """The body, or 304 if the browser has it. The browser asks each time, because the version may have changed."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**headers, "content-type": content_type, "cache-control": "no-cache", "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers)
