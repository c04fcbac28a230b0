"""What a call can fail with.

DigitsError
├── InvalidInput        INVALID_ARGUMENT    what was passed is no image; found here or by the server
├── NotFound            NOT_FOUND           the server does not serve this model version
├── ResourceExhausted   RESOURCE_EXHAUSTED  a limit of the server, or it is overloaded: try later, with less
├── Unavailable         UNAVAILABLE         nobody answers there, or no model is serving yet
├── DeadlineExceeded    DEADLINE_EXCEEDED   no answer within the timeout
└── ServerError         any other status    the server failed; the message is what it said
"""

from typing import ClassVar

import grpc


class DigitsError(Exception):
    """The root. `status` is the gRPC status the error stands for."""

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN


class InvalidInput(DigitsError, ValueError):
    """What was passed is no image, or not in a form that can be sent. Nothing was predicted."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(DigitsError):
    """The server does not serve this model version."""

    status = grpc.StatusCode.NOT_FOUND


class ResourceExhausted(DigitsError):
    """A limit of the server was passed, or the server is overloaded; the message says which."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(DigitsError):
    """No server answered, after retries, or the one that did has no model or is stopping."""

    status = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(DigitsError, TimeoutError):
    """No answer came within the timeout."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class ServerError(DigitsError):
    """The server failed in another way; the message starts with the name of its status."""

    status = grpc.StatusCode.INTERNAL


_BY_STATUS: dict[grpc.StatusCode, type[DigitsError]] = {
    kind.status: kind for kind in (InvalidInput, NotFound, ResourceExhausted, Unavailable, DeadlineExceeded)
}


def from_status(status: grpc.StatusCode, message: str | None) -> DigitsError:
    """The error of a failed RPC, with the server's own sentence."""
    kind = _BY_STATUS.get(status)
    return kind(message or status.name) if kind else ServerError(f"{status.name}: {message or 'no message'}")
