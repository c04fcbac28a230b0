"""What is not answered, and why: counted by the RPCs, or by a transport that refused it before they heard of it."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry

from digits_server.errors import ServingError
from digits_server.observability.collectors import Count, Counter

REASONS = (
    *("invalid", "too_large", "not_found", "deadline", "overloaded", "unavailable"),
    *("unauthenticated", "cancelled", "inference_failed", "internal", "max_calls"),
)


class RejectionPart:
    """Counts why there are no predictions, as one thread does. A context that may be entered again and again."""

    def __init__(self, counts: Mapping[str, Count]) -> None:
        self._counts = counts

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if error is not None:
            self.count(error)

    def count(self, error: BaseException) -> None:
        """There is no prediction, for this reason."""
        if isinstance(error, ServingError):
            self._counts[error.reason].inc()
        elif isinstance(error, asyncio.CancelledError):
            self._counts["cancelled"].inc()

    def add(self, reason: str, calls: int) -> None:
        """There are so many predictions fewer, for this reason."""
        self._counts[reason].value += calls


class Rejections(RejectionPart):
    """The part of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(registry, "digits_rejected", "Requests not answered, by reason.", ("reason",))
        super().__init__({reason: self._counter.labels(reason) for reason in REASONS})

    def part(self) -> RejectionPart:
        """A part for another thread."""
        return RejectionPart({reason: self._counter.part(reason) for reason in REASONS})
