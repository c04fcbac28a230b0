"""Requests that were not answered, by reason.

Each is counted once, where its error leaves the server: in the RPC, at the entry of HTTP, or in the receiving thread.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from digits_server.observability.collectors import Count, Counter

REASONS = (
    *("invalid", "too_large", "not_found", "deadline", "overloaded", "unavailable"),
    *("unauthenticated", "cancelled", "inference_failed", "internal"),
)


class RejectionPart:
    """The rejections that one thread counts."""

    def __init__(self, counts: Mapping[str, Count]) -> None:
        self._counts = counts

    def add(self, reason: str, calls: int = 1) -> None:
        """Counts requests that failed for `reason`."""
        self._counts[reason].value += calls


class Rejections(RejectionPart):
    """The counts of the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(registry, "digits_rejected", "Requests not answered, by reason.", ("reason",))
        super().__init__({reason: self._counter.labels(reason) for reason in REASONS})

    def part(self) -> RejectionPart:
        """The counts of another thread."""
        return RejectionPart({reason: self._counter.part(reason) for reason in REASONS})
