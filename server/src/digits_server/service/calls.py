"""One call without its message: deadline, metadata, connection. A transport makes it, the service reads it."""

import asyncio
import re
from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from digits_server.errors import ServingError

REQUEST_ID = "x-request-id"
"""The metadata under which a caller may name its request."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
"""The metadata that names the trace of a call (W3C Trace Context)."""

EARLY_SECONDS = 0.05
"""How long before its deadline a call may end and still count as late: the caller's clock started earlier than ours, by
the time that the request needed to arrive."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Call(Protocol):
    """One call in flight."""

    @property
    def deadline(self) -> float | None:
        """A time of the event loop's clock, in seconds; None if the caller has no deadline."""
        ...

    @property
    def peer(self) -> Hashable:
        """The connection it came over: equal for all calls of that connection."""
        ...

    def metadata(self, name: str) -> str | None:
        """The last value that the caller sent under `name` (lower case); None if there is no value."""
        ...


@dataclass(slots=True)
class Tally:
    """The use of the model by one call or HTTP request: images, and the version that answered the last of them."""

    images: int = 0
    version: int = 0

    def add(self, images: int, version: int) -> None:
        self.images += images
        self.version = version


TALLY = ContextVar[Tally | None]("TALLY", default=None)
"""The tally of the current task's call, if an observer wants one. All tasks of the call share it."""


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call without a connection, made in this process."""

    deadline: float | None = None
    peer: Hashable = None

    def metadata(self, _name: str) -> None:
        return None


def is_late(deadline: float | None, ended: float) -> bool:
    """Whether a call that its caller ended at `ended` ran into its deadline. Both are seconds of one clock."""
    return deadline is not None and ended >= deadline - EARLY_SECONDS


def reason_of(error: BaseException, call: Call) -> str:
    """Why the call is not answered: the label under which metrics count it. To be called on the event loop."""
    if isinstance(error, ServingError):
        return error.reason
    if isinstance(error, Exception):
        return "internal"
    return "deadline" if is_late(call.deadline, asyncio.get_running_loop().time()) else "cancelled"


def request_id(call: Call) -> str:
    """The caller's request id if it is 1 to 64 letters, digits or `.-_:`; otherwise a new id."""
    return sane_id(call.metadata(REQUEST_ID))


def sane_id(given: str | None) -> str:
    """The same for a `given` id, which may be None."""
    return given if given and _SANE_ID.fullmatch(given) else uuid4().hex


def trace_of(traceparent: str | None) -> str:
    """The trace id of a caller's span, 32 hexadecimal digits, or empty."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 and parts[1].isalnum() else ""
