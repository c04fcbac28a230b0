"""Calls that may share an RPC, and the groups of those that do."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """The options that calls must have in common to share an RPC."""

    model_version: int
    probabilities: bool
    unlike: bool = False


class Call:
    """One caller's image, and how that caller is woken. The shells wait on `waker`; this module does not touch it."""

    __slots__ = ("abandoned", "answer", "deadline", "error", "group", "kind", "pixels", "waker")

    def __init__(self, pixels: bytes, kind: Kind, deadline: float, waker: Any) -> None:
        self.pixels = pixels
        self.kind = kind
        self.deadline = deadline
        self.waker = waker
        self.group: Group | None = None
        self.answer: Any = None
        self.error: Exception | None = None
        self.abandoned = False


@dataclass(slots=True, eq=False)
class Group:
    """The calls of one RPC.

    wanted  callers that still wait for it
    left    when it was sent, in seconds of the shell's clock
    rpc     what cancels it
    sent    whether a shell has passed it to gRPC
    ended   whether its RPC has ended
    """

    kind: Kind
    calls: list[Call]
    wanted: int
    left: float
    rpc: Any = field(default=None)
    sent: bool = False
    ended: bool = False

    @property
    def deadline(self) -> float:
        """The latest of its callers' deadlines: callers with earlier deadlines give up themselves."""
        return max(call.deadline for call in self.calls)
