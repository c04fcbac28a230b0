"""HTTP/2 frames as plain bytes, for traffic that no library would send (RFC 9113, RFC 7541)."""

import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBL", kind, flags, stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0)
"""The beginning of a connection: the preface, and settings that change nothing."""


def literal(name: bytes, value: bytes) -> bytes:
    """One header in HPACK's plainest form, for any decoder in any state."""
    return b"\0" + _string(name) + _string(value)


def call_headers(path: str, **more: str) -> bytes:
    """The headers of a gRPC call, as the payload of HEADERS. Underscores of names stand for hyphens."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "attacker",
        "te": "trailers",
        "content-type": "application/grpc",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return b"".join(literal(name.encode(), value.encode()) for name, value in fields.items())


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, bytearray([127])
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*length, rest]) + text
