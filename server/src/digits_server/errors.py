"""Every error that the server raises on purpose, grouped by who is at fault, with the gRPC status the caller sees.

    ServingError
    ├── CallerError                 the request cannot be answered
    │   ├── InvalidRequest          INVALID_ARGUMENT
    │   ├── RequestTooLarge         RESOURCE_EXHAUSTED
    │   ├── NotFound                NOT_FOUND
    │   ├── Unauthenticated         UNAUTHENTICATED
    │   ├── DeadlineExceeded        DEADLINE_EXCEEDED
    │   └── Unimplemented           UNIMPLEMENTED
    ├── CapacityError               the request is fine; this server cannot take it now
    │   ├── Overloaded              RESOURCE_EXHAUSTED, with the time to wait before a retry
    │   └── Unavailable             UNAVAILABLE
    ├── InferenceFailed             INTERNAL: the model failed on a valid batch
    └── OperatorError               the server cannot start with these settings; callers never see these
        ├── AddressUnavailable      a port is taken, or the host is not an address of this machine
        ├── RepositoryError         no model to serve
        └── ModelRejected           a version failed verification, loading or its golden images

A message is one sentence for the person who can fix the problem. A caller never gets a path or a traceback.
"""

from enum import IntEnum
from typing import ClassVar


class Status(IntEnum):
    """The gRPC status codes this server answers with, by their wire numbers (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class ServingError(Exception):
    """The root: `status` is what the caller sees, `reason` the label under which rejections are counted."""

    status: ClassVar[Status] = Status.INTERNAL
    reason: ClassVar[str] = "internal"

    @property
    def message(self) -> str:
        return str(self)


class CallerError(ServingError):
    """The request cannot be answered as it is."""


class InvalidRequest(CallerError):
    """A field is invalid; the message names it and says what was expected."""

    status = Status.INVALID_ARGUMENT
    reason = "invalid"


class RequestTooLarge(CallerError):
    """The request exceeds a limit; the message names it."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "too_large"


class NotFound(CallerError):
    """The version or service asked for is not served here."""

    status = Status.NOT_FOUND
    reason = "not_found"


class Unauthenticated(CallerError):
    """The caller sent no token, or an unknown one."""

    status = Status.UNAUTHENTICATED
    reason = "unauthenticated"


class DeadlineExceeded(CallerError):
    """The caller's deadline passed before its images reached the model."""

    status = Status.DEADLINE_EXCEEDED
    reason = "deadline"


class Unimplemented(CallerError):
    """The server does not know the method, or the form in which the call was sent."""

    status = Status.UNIMPLEMENTED
    reason = "invalid"


class CapacityError(ServingError):
    """The request is valid, but this server cannot accept it now."""


class Overloaded(CapacityError):
    """The queue is full.

    retry_after_ms  milliseconds after which to try again: the time the queue needs at the measured rate
    """

    status = Status.RESOURCE_EXHAUSTED
    reason = "overloaded"

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class Unavailable(CapacityError):
    """No model is serving yet, or the server is draining."""

    status = Status.UNAVAILABLE
    reason = "unavailable"


class InferenceFailed(ServingError):
    """The model failed on a valid batch: a fault of the server, logged with its traceback."""

    reason = "inference_failed"


class OperatorError(ServingError):
    """The server cannot start with these settings."""


class AddressUnavailable(OperatorError):
    """A port is taken, or the host is not an address of this machine."""


NO_REPOSITORY = "no model repository at"
"""How the message of a RepositoryError begins if the folder is missing."""


class RepositoryError(OperatorError):
    """The repository has no model to serve."""


class ModelRejected(OperatorError):
    """A version failed verification, loading or its golden images.

    cause    label of `digits_model_load_failures_total`: one word of a fixed list, never a text from the files
    passing  the same files may be good later: a volume failed for a moment, or memory was short
    """

    def __init__(self, cause: str, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.cause = cause
        self.passing = passing or cause in ("read", "internal", "time")
