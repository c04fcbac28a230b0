"""What is known of one call beside its message. A transport makes it; whoever answers reads it."""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

REQUEST_ID = "x-request-id"
"""The metadata under which a caller may name its request."""

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
"""The metadata that names the trace a call belongs to, as W3C Trace Context has it."""

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Call(Protocol):
    """One call under way."""

    @property
    def deadline(self) -> float | None:
        """A time of the event loop's clock, seconds; None when the caller waits as long as it takes."""
        ...

    @property
    def peer(self) -> Hashable:
        """The connection it came over: equal for all calls of one."""
        ...

    def metadata(self, name: str) -> str | None:
        """The value the caller sent under `name` (lower case), the last of several; None when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call that came over nothing but a function."""

    deadline: float | None = None
    peer: Hashable = None

    def metadata(self, _name: str) -> None:
        return None


def request_id(call: Call) -> str:
    """What the caller calls its request, if that is 1 to 64 letters, digits and .-_: and else a new name for it."""
    return sane_id(call.metadata(REQUEST_ID))


def sane_id(given: str | None) -> str:
    """The same for what was `given`, if anything was."""
    return given if given and _SANE_ID.fullmatch(given) else uuid4().hex


def trace_of(traceparent: str | None) -> str:
    """The trace a caller's span belongs to, 32 hexadecimal digits, or nothing."""
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) == 4 and len(parts[1]) == 32 and parts[1].isalnum() else ""
