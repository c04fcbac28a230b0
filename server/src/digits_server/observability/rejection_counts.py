"""Requests that were not answered, by reason: counted by the RPCs, or by a transport that rejected them earlier."""

import asyncio
from collections.abc import Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry

from digits_server.errors import ServingError
from digits_server.observability.collectors import Count, Counter

REASONS = (
    *("invalid", "too_large", "not_found", "deadline", "overloaded", "unavailable"),
    *("unauthenticated", "cancelled", "inference_failed", "internal"),
)


class RejectionPart:
    """The rejections that one thread counts. A context manager that may be entered many times."""

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
        """Counts one request that failed with `error`."""
        if isinstance(error, ServingError):
            self._counts[error.reason].inc()
        elif isinstance(error, asyncio.CancelledError):
            self._counts["cancelled"].inc()

    def add(self, reason: str, calls: int) -> None:
        """Counts so many requests that failed for `reason`."""
        self._counts[reason].value += calls


class Rejections(RejectionPart):
    """The counts of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(registry, "digits_rejected", "Requests not answered, by reason.", ("reason",))
        super().__init__({reason: self._counter.labels(reason) for reason in REASONS})

    def part(self) -> RejectionPart:
        """The counts of another thread."""
        return RejectionPart({reason: self._counter.part(reason) for reason in REASONS})
