"""gRPC over HTTP/2 as bytes and headers: pure functions, no input or output.

A message on the wire is a prefix of five bytes, whether it is compressed (one byte) and its length (four), and then
the message (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
"""

import re
import struct
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from digits_server.errors import (
    BrokenProtocol,
    InvalidRequest,
    Overloaded,
    RequestTooLarge,
    ServingError,
    Unimplemented,
)
from digits_server.transports.limits import MAX_METADATA_BYTES

Headers = list[tuple[bytes, bytes]]

PREFIX = struct.Struct(">BI")
PREFIX_BYTES = PREFIX.size
CONTENT_TYPE = b"application/grpc"

SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")

PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
"""What stands for itself in `grpc-message`."""


def framed(message: bytes) -> bytes:
    """`message` with its prefix."""
    return PREFIX.pack(0, len(message)) + message


def only_message(body: bytes, limit: int) -> memoryview | None:
    """The message of a body that is exactly one, without copying it; None when it is anything else."""
    if len(body) < PREFIX_BYTES:
        return None
    compressed, length = PREFIX.unpack_from(body)
    if compressed or length > limit or length != len(body) - PREFIX_BYTES:
        return None
    return memoryview(body)[PREFIX_BYTES:]


class Deframer:
    """Takes a body piece by piece and gives the messages in it. Keeps at most one message and a piece.

    limit  bytes of one message; a longer one is refused when its prefix has come, before the rest of it
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def unfinished(self) -> int:
        """Bytes that are kept of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, piece: bytes) -> Iterator[memoryview]:
        """The messages that `piece` completes. Raises RequestTooLarge or BrokenProtocol after those before it."""
        buffer = self._buffer
        buffer += piece
        start = 0
        while (end := self._end(buffer, start)) is not None and end <= len(buffer):
            if not start and end == len(buffer):  # the usual case needs no copy
                self._buffer = bytearray()
                yield memoryview(buffer)[PREFIX_BYTES:]
                return
            yield memoryview(buffer[start + PREFIX_BYTES : end])
            start = end
        del buffer[:start]

    def close(self) -> None:
        """The body has ended. Raises InvalidRequest in the middle of a message."""
        if self._buffer:
            raise InvalidRequest("the call ended in the middle of a message")

    def _end(self, buffer: bytearray, start: int) -> int | None:
        """Where the message that starts at `start` ends, once its prefix has come."""
        if len(buffer) - start < PREFIX_BYTES:
            return None
        compressed: int
        length: int
        compressed, length = PREFIX.unpack_from(buffer, start)
        if compressed:
            raise BrokenProtocol("a message is marked as compressed, and the call names no grpc-encoding")
        if length > self._limit:
            raise RequestTooLarge(
                f"the message has {length} bytes; at most {self._limit} are taken (max_message_bytes)"
            )
        return start + PREFIX_BYTES + length


def timeout_seconds(value: bytes | None) -> float | None:
    """The header `grpc-timeout` in seconds. Raises InvalidRequest when it is none."""
    if value is None:
        return None
    match = TIMEOUT.fullmatch(value)
    if match is None:
        raise InvalidRequest("grpc-timeout: expected up to eight digits and one of H, M, S, m, u, n")
    return int(match[1]) * SECONDS[match[2]]


def check_encoding(encoding: bytes | None) -> None:
    """Raises Unimplemented when the header `grpc-encoding` announces compressed messages."""
    if encoding not in (None, b"identity"):
        raise Unimplemented("compressed messages are not taken: send them with grpc-encoding identity")


def check_size(headers: Headers) -> None:
    """Raises RequestTooLarge when a call's headers are more than is taken (RFC 9113, section 6.5.2, counts them)."""
    size = len(b"".join(chain.from_iterable(headers))) + 32 * len(headers)  # every call pays for this line
    if size > MAX_METADATA_BYTES:
        raise RequestTooLarge(f"the metadata has {size} bytes; at most {MAX_METADATA_BYTES} are taken")


def trailers(error: ServingError) -> Headers:
    """How the call ends for its caller."""
    fields = [
        (b"grpc-status", b"%d" % error.status),
        (b"grpc-message", quote(error.message, safe=PLAIN).encode()),
    ]
    if isinstance(error, Overloaded):
        fields.append((b"grpc-retry-pushback-ms", b"%d" % error.retry_after_ms))
    if isinstance(error, Unimplemented):
        fields.append((b"grpc-accept-encoding", b"identity"))
    return fields
