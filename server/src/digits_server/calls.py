"""What is known of one call beside its message. A transport makes it; whoever answers reads it."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol


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
