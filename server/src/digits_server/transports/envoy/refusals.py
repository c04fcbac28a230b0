"""How Envoy words what it refuses by itself: with the status and push-back of every other refusal for want of room.

Who is refused so does not try again at once.
"""

from http import HTTPStatus
from typing import Any

PUSHBACK_MILLISECONDS = 100
"""When a caller who was refused may try again."""

RESOURCE_EXHAUSTED = 8


def as_exhausted(calls: int) -> dict[str, Any]:
    """For calls beyond so many under way, and for those there is no memory for: nothing else has these statuses."""
    return {
        "mappers": [
            _worded(HTTPStatus.TOO_MANY_REQUESTS, f"{calls} predictions are under way, as many as may be (max_calls)"),
            _worded(HTTPStatus.SERVICE_UNAVAILABLE, "the calls under way take as much memory as they may (max_memory)"),
        ]
    }


def _worded(status: HTTPStatus, message: str) -> dict[str, Any]:
    is_it = {"op": "EQ", "value": {"default_value": status, "runtime_key": f"digits.refusal.{status}"}}
    fields = {"grpc-status": RESOURCE_EXHAUSTED, "grpc-retry-pushback-ms": PUSHBACK_MILLISECONDS}
    return {
        "filter": {"status_code_filter": {"comparison": is_it}},
        "body": {"inline_string": message},
        "headers_to_add": [
            {"header": {"key": key, "value": str(value)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for key, value in fields.items()
        ],
    }
