"""What a transport takes from one connection and from all of them, however it is built."""

from dataclasses import dataclass

from digits_server.settings import Settings

MAX_CONCURRENT_STREAMS = 256
"""The most calls of one connection at once: with the largest metadata there may be they take some 40 MiB."""

MAX_METADATA_BYTES = 16 * 1024
"""Metadata of one call, counted as HTTP/2 does: name, value and 32 bytes for each."""

PING_SECONDS, PONG_SECONDS = 60, 20
"""A connection is asked this often whether anybody is there, and closed when no answer comes."""

HELD_MESSAGES = 32
"""Messages of the greatest size that the calls under way may hold together, where a transport reads them whole."""

SETTLE_SECONDS = 1.0
"""How long calls are still answered at a stop while their callers find out, at most."""

QUIET_SECONDS = 0.1
"""A pause this long between two arrivals, at a stop, means that no more will come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the operator chooses.

    message_bytes  bytes of one request message
    calls          calls that wait to be taken; one more is refused
    connections    connections at once; one more is closed
    idle_seconds   a connection without a call is closed after so long; 0: never
    age_seconds    a connection takes no further calls after so long, and ends with the last; 0: never
    """

    message_bytes: int
    calls: int
    connections: int
    idle_seconds: float
    age_seconds: float

    @property
    def streams(self) -> int:
        """Calls of one connection at once; its further ones wait on the caller's side.

        A quarter of all: as many again may have ended and still be in memory, and others find room beside both.
        """
        return max(1, min(MAX_CONCURRENT_STREAMS, self.calls // 4))

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages of all calls under way."""
        return HELD_MESSAGES * self.message_bytes


def limits(settings: Settings) -> Limits:
    return Limits(
        message_bytes=settings.max_message_bytes,
        calls=settings.max_calls,
        connections=settings.max_grpc_connections,
        idle_seconds=settings.max_connection_idle,
        age_seconds=settings.max_connection_age,
    )
