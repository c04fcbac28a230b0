"""Limits of one connection and of all connections, for every transport."""

from dataclasses import dataclass

from digits_server.settings import Settings

MAX_CONCURRENT_STREAMS = 256
"""Most calls of one connection at once: with the largest metadata they need some 40 MiB."""

MAX_METADATA_BYTES = 16 * 1024
"""Bytes of metadata of one call, counted as HTTP/2 does: name, value and 32 bytes for each entry."""

PING_SECONDS, PONG_SECONDS = 60, 20
"""How often an idle connection is pinged; it is closed if no answer comes."""

HELD_MESSAGES = 32
"""Messages of the largest size that calls in flight may hold together, if a transport reads whole messages."""

SETTLE_SECONDS = 1.0
"""Longest time at a stop in which new calls are still answered, until callers notice the stop."""

QUIET_SECONDS = 0.1
"""A pause this long between two arrivals, at a stop, means that no more will come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits that the operator sets.

    message_bytes    bytes of one request message
    unfinished       calls whose messages may be arriving at once, and as many streams of requests
    calls            calls that may wait; one more is rejected
    connections      connections at once; one more is closed
    idle_seconds     a connection without a call is closed after so long; 0: never
    age_seconds      a connection takes no further calls after so long, and ends with the last; 0: never
    """

    message_bytes: int
    unfinished: int
    calls: int
    connections: int
    idle_seconds: float
    age_seconds: float

    @property
    def streams(self) -> int:
        """Calls of one connection at once; further ones wait in the client.

        A quarter of all calls: as many more may have ended but still be in memory, and others need the rest.
        """
        return max(1, min(MAX_CONCURRENT_STREAMS, self.calls // 4))

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages of all calls under way."""
        return HELD_MESSAGES * self.message_bytes


def limits(settings: Settings) -> Limits:
    return Limits(
        message_bytes=settings.max_message_bytes,
        unfinished=max(1, settings.max_unfinished_bytes // settings.max_message_bytes),
        calls=settings.max_calls,
        connections=settings.max_grpc_connections,
        idle_seconds=settings.max_connection_idle,
        age_seconds=settings.max_connection_age,
    )
