"""The errors that a call can raise.

DigitsError
├── InvalidInput            INVALID_ARGUMENT     not an image, or not a valid argument; found here or by the server
│   └── UnreadableFile      INVALID_ARGUMENT     an image file cannot be read; an OSError, too, with its errno
│       ├── FileNotFound    INVALID_ARGUMENT     there is no such file; a FileNotFoundError, too
│       ├── FileForbidden   INVALID_ARGUMENT     this process is not allowed to read it; a PermissionError
│       └── FileIsDirectory INVALID_ARGUMENT     it is a directory; an IsADirectoryError, too
├── NotFound                NOT_FOUND            the server does not serve this model version
├── Unauthenticated         UNAUTHENTICATED      the server wants a token, or does not know this one
├── ResourceExhausted       RESOURCE_EXHAUSTED   a limit: the request is too large, or one of these
│   ├── Overloaded          RESOURCE_EXHAUSTED   the server has too much to do; it says when to try again
│   └── QueueFull           RESOURCE_EXHAUSTED   too many calls wait in this client; nothing was sent
├── Unavailable             UNAVAILABLE          no server answers, or it has no model yet
├── DeadlineExceeded        DEADLINE_EXCEEDED    no answer within the timeout
├── ClientClosed            CANCELLED            the client was closed before the answer came
├── Misused                 FAILED_PRECONDITION  second event loop, forked process, token in plaintext, no OpenTelemetry
└── ServerError             any other status     the server failed; the message is what it said
"""

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import grpc

from digits_client import _limits
from digits_client._connection.log import log

if TYPE_CHECKING:
    from digits_client._answers.results import Predictions

_BASE64 = re.compile(rf"data:|[\w+/=-]{{{_limits.SHOWN_CHARACTERS}}}", re.ASCII)
"""How a data URL and base64 begin. A long path has a dot, a space or another sign among this many characters."""

PUSHBACK = ("grpc-retry-pushback-ms", "digits-retry-pushback-ms")


class DigitsError(Exception):
    """The root.

    status    the gRPC status the error stands for
    failed    after `predict_batch` and `predict_iter`: the positions of the images whose RPC failed; else None
    answered  after `predict_batch`: the answers before the error, to the first len(answered) images; else None
    """

    status: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    failed: range | None = None
    answered: "Predictions | None" = None


class InvalidInput(DigitsError, ValueError):
    """The input is not an image, or not in a form that can be sent. No prediction was made."""

    status = grpc.StatusCode.INVALID_ARGUMENT


class UnreadableFile(OSError, InvalidInput):
    """An image file cannot be read. `errno`, `strerror` and `filename` are those of the operating system.

    The subclasses are also the built-in exceptions that code for files expects.
    """

    def __str__(self) -> str:
        return f"cannot read {shown(os.fspath(self.filename))}: {self.strerror}"


class FileNotFound(UnreadableFile, FileNotFoundError):
    """There is no such file."""


class FileForbidden(UnreadableFile, PermissionError):
    """The file exists, and this process is not allowed to read it."""


class FileIsDirectory(UnreadableFile, IsADirectoryError):
    """The path is that of a directory."""


class NotFound(DigitsError):
    """The server does not serve this model version."""

    status = grpc.StatusCode.NOT_FOUND


class Unauthenticated(DigitsError):
    """The server wants a token, or does not know this one."""

    status = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(DigitsError):
    """A limit was reached; the message names it. The same request will fail again, unless the error is a subclass.

    retry_after_seconds  when the server asks to be called again; None when it does not say
    """

    status = grpc.StatusCode.RESOURCE_EXHAUSTED
    retry_after_seconds: float | None = None


class Overloaded(ResourceExhausted):
    """The server has too much to do. The same request may succeed after `retry_after_seconds`."""


class QueueFull(ResourceExhausted):
    """The largest allowed number of calls is already waiting in this client; nothing was sent."""


class Unavailable(DigitsError):
    """No server answered, after retries, or the server has no model or is stopping."""

    status = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(DigitsError, TimeoutError):
    """No answer came within the timeout."""

    status = grpc.StatusCode.DEADLINE_EXCEEDED


class ClientClosed(DigitsError):
    """The client was closed: before the call, or before its answer came."""

    status = grpc.StatusCode.CANCELLED

    def __init__(self, message: str = "the client is closed") -> None:
        super().__init__(message)


class Misused(DigitsError, RuntimeError):
    """The client was used where gRPC cannot work, where anybody could read its token, or without its extra."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class ServerError(DigitsError):
    """The server failed in another way; the message starts with the name of its status, which `status` holds."""

    status = grpc.StatusCode.INTERNAL


_BY_STATUS: dict[grpc.StatusCode, type[DigitsError]] = {
    kind.status: kind
    for kind in (InvalidInput, NotFound, Unauthenticated, ResourceExhausted, Unavailable, DeadlineExceeded)
}

_BY_CAUSE: dict[type[OSError], type[UnreadableFile]] = {
    FileNotFoundError: FileNotFound,
    PermissionError: FileForbidden,
    IsADirectoryError: FileIsDirectory,
}


def from_status(
    status: grpc.StatusCode, message: str | None, metadata: Iterable[tuple[str, Any]] | None = None
) -> DigitsError:
    """The error of a failed RPC, with the server's own sentence."""
    kind = _BY_STATUS.get(status)
    if kind is None:
        other = ServerError(f"{status.name}: {message or 'no message'}")
        other.status = status
        return other
    if kind is ResourceExhausted and (delay := _pushback(metadata or ())) is not None:
        overloaded = Overloaded(message or status.name)
        overloaded.retry_after_seconds = delay
        return overloaded
    return kind(message or status.name)


def from_rpc(error: Any) -> DigitsError:
    """The error for gRPC's own error, which becomes its cause. gRPC's types do not declare that it has a status."""
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        log.debug("an RPC failed with UNAVAILABLE after its retries")
    return caused(from_status(error.code(), error.details(), error.trailing_metadata()), error)


def caused(error: DigitsError, cause: BaseException) -> DigitsError:
    """The error with its cause, for an error that is raised in another place than where it is made."""
    error.__cause__ = cause
    return error


def unreadable(error: OSError, path: str | os.PathLike[str]) -> UnreadableFile:
    """The error of a file that the operating system did not let this process read."""
    kind = _BY_CAUSE.get(type(error), UnreadableFile)
    return kind(error.errno, error.strerror or str(error), os.fspath(path))


def shown(path: str) -> str:
    """A path in an error message. A long path is often base64 by mistake: only its beginning is shown."""
    most = _limits.SHOWN_CHARACTERS
    if len(path) <= most or (len(path) <= _limits.PATH_CHARACTERS and not _BASE64.match(path)):
        return path
    return (
        f"{path[:most]}… ({len(path):,} characters; a string is taken for the path of a file: pass the content as "
        "bytes, base64.b64decode(image) for base64)"
    )


def _pushback(metadata: Iterable[tuple[str, Any]]) -> float | None:
    """Seconds that the server asks the client to wait (gRFC A6); None if it does not ask, or forbids a retry."""
    value = next((str(value) for name, value in metadata if name in PUSHBACK), "")
    return int(value) / 1000 if value.isdecimal() else None
