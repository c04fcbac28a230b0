"""One connection of a load that does not wait.

The frames of HTTP/2 are written and read here by hand, as cheaply as Python can: no gRPC library for it offers a server
several times what it can do. Like any gRPC client a call is given up, and reset, when its deadline passes, and as many
are under way on a connection as the server allows; the others are held, the oldest first. A connection that ends is
opened again at once. If that fails, because it ends before the server has said anything, all calls fail until it
succeeds, with pauses between the attempts.
"""

import socket
import struct
from collections import deque
from contextlib import suppress
from errno import ENOTCONN
from math import nan
from random import Random

from hpack import Decoder

from digits.v1.prediction_pb2 import PredictRequest
from support.load.ledger import CANCELLED, DEADLINE_EXCEEDED, INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE, Ledger
from support.wire.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    call_headers,
    frame,
)
from support.wire.http2 import framed

REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
OF_RESET = {REFUSED_STREAM: UNAVAILABLE, CANCEL: CANCELLED, ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED}
"""gRPC's status for a stream that is reset; INTERNAL for other error codes."""
ACK = 1
HEADER_TABLE_SIZE, MAX_STREAMS = 1, 3
WINDOW, MOST_WINDOW = 65_535, 2**31 - 1
STREAMS = 100
"""Calls in flight at once until the server has announced its limit."""
READ_BYTES, FRAME_BYTES = 262_144, 16_384
FRAME_HEAD = struct.Struct(">BHBBL")
"""Length, in two parts, kind, flags and stream."""
FIRST_PAUSE_SECONDS, PAUSE_GROWTH, PAUSE_JITTER, MOST_PAUSE_SECONDS = 1.0, 1.6, 0.2, 120.0
"""Pauses between attempts to connect: grpc/doc/connection-backoff.md."""
NEVER = "99999999u"
"""A deadline as gRPC writes it, in microseconds; what is left to a call takes its place."""


def message(images: int) -> bytes:
    """A whole request, framed as gRPC does."""
    return framed(PredictRequest(images=bytes(784 * images)).SerializeToString())


class Connection:
    """Makes calls of `body` at "host:port", each with `deadline` seconds from when it was due.

    `socket` is None between two attempts to connect.
    """

    def __init__(self, target: str, body: bytes, deadline: float, ledger: Ledger, seed: int) -> None:
        headers = frame(
            HEADERS, END_HEADERS, 0, call_headers("/digits.v1.PredictionService/Predict", grpc_timeout=NEVER)
        )
        self._headers, self._rest_of_headers = headers[9:].split(NEVER.encode())
        pieces = [body[begin : begin + FRAME_BYTES] for begin in range(0, len(body), FRAME_BYTES)]
        data = [*(frame(DATA, 0, 0, piece) for piece in pieces[:-1]), frame(DATA, END_STREAM, 0, pieces[-1])]
        self._heads = [each[:5] for each in (headers, *data)]
        self._pieces = pieces
        self._size = len(body)
        self._target = target
        self._deadline = deadline
        self._ledger = ledger
        self._held: deque[int] = deque()
        self._calls: dict[int, int] = {}
        self._random = Random(seed)
        self._failing = False
        self._pause = FIRST_PAUSE_SECONDS
        self._connect_at = 0.0
        self.socket: socket.socket | None = None
        self._connect()

    def _connect(self) -> None:
        host, _, port = self._target.rpartition(":")
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex((host, int(port)))
        self._ready = False
        self._window = WINDOW
        self._most = STREAMS
        self._stream = 1
        self._decoder = Decoder()
        self._decoder.header_table_size = 0
        self._statuses: dict[bytes, tuple[int, float]] = {}
        self._read = b""
        no_limits = HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4)
        no_limits += INITIAL_WINDOW_SIZE.to_bytes(2, "big") + MOST_WINDOW.to_bytes(4, "big")
        self._out = bytearray(PREFACE + frame(SETTINGS, 0, 0, no_limits))
        self._out += frame(WINDOW_UPDATE, 0, 0, (MOST_WINDOW - WINDOW).to_bytes(4, "big"))

    def __len__(self) -> int:
        """Calls without an outcome."""
        return len(self._held) + len(self._calls)

    def call(self, number: int) -> None:
        self._held.append(number)

    def write(self, now: float) -> None:
        """Sends the calls that may be sent, and gives up those that are too late."""
        self._give_up(now)
        if not self.socket and now >= self._connect_at:
            self._connect()
        while self._failing and self._held:
            self._end(self._held.popleft(), now, UNAVAILABLE)
        while self._ready and self._held and len(self._calls) < self._most and self._size <= self._window:
            self._begin(self._held.popleft(), now)
        if self._out and self.socket:
            with suppress(OSError):  # the buffer is full, or `read` will find the connection lost
                del self._out[: self.socket.send(self._out)]

    def _give_up(self, now: float) -> None:
        """Resets the calls whose deadline has passed; both those sent and those held are in the order of theirs."""
        due, late = self._ledger.due, now - self._deadline
        while self._calls:
            stream, number = next(iter(self._calls.items()))
            if due[number] > late:
                break
            del self._calls[stream]
            self._end(number, now, DEADLINE_EXCEEDED)
            self._out += frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))
        while self._held and due[self._held[0]] <= late:
            self._end(self._held.popleft(), now, DEADLINE_EXCEEDED)

    def _begin(self, number: int, now: float) -> None:
        self._ledger.left[number] = now
        self._window -= self._size
        self._calls[self._stream] = number
        stream = self._stream.to_bytes(4, "big")
        left = b"%08du" % ((self._ledger.due[number] + self._deadline - now) * 1e6)
        self._out += self._heads[0] + stream + self._headers + left + self._rest_of_headers
        for head, piece in zip(self._heads[1:], self._pieces, strict=True):
            self._out += head + stream + piece
        self._stream += 2

    def read(self, now: float) -> None:
        """Processes the data that has arrived."""
        data = self._received()
        if data is None:
            return
        if not data:
            self._lost(now)
            return
        data = self._read + data
        place, end = 0, len(data) - FRAME_HEAD.size
        while place <= end:
            high, low, kind, flags, stream = FRAME_HEAD.unpack_from(data, place)
            payload = place + FRAME_HEAD.size
            after = payload + (high << 16) + low
            if after > len(data):
                break
            if kind == HEADERS:
                if flags & END_STREAM:
                    self._answered(stream, data[payload:after], now)
                else:
                    self._decoded(data[payload:after])
            elif kind == GOAWAY:
                self._lost(now)
                return
            elif kind != DATA:
                self._control(kind, flags, stream, data[payload:after], now)
            place = after
        self._read = data[place:]

    def _received(self) -> bytes | None:
        """None: nothing yet; b"": the connection has ended."""
        if not self.socket:
            return None
        try:
            return self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            return None if error.errno == ENOTCONN else b""

    def _answered(self, stream: int, block: bytes, now: float) -> None:
        number = self._calls.pop(stream, None)
        status, pushback = self._decoded(block)
        if number is not None:
            self._ledger.pushback[number] = pushback
            self._end(number, now, status)

    def _decoded(self, block: bytes) -> tuple[int, float]:
        """Status and push-back of a block of headers; without a table each always means the same."""
        known = self._statuses.get(block)
        if known is None:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
            pushback = fields.get("grpc-retry-pushback-ms", fields.get("digits-retry-pushback-ms", nan))
            known = int(fields.get("grpc-status", INTERNAL)), float(pushback)
            self._statuses[block] = known
        return known

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            number = self._calls.pop(stream, None)
            if number is not None:
                self._end(number, now, OF_RESET.get(int.from_bytes(payload, "big"), INTERNAL))
        elif kind in (PING, SETTINGS) and not flags & ACK:
            if kind == SETTINGS:
                self._ready, self._failing, self._pause = True, False, FIRST_PAUSE_SECONDS
                self._most = dict(struct.iter_unpack(">HL", payload)).get(MAX_STREAMS, self._most)
            self._out += frame(kind, ACK, 0, payload if kind == PING else b"")

    def _lost(self, now: float) -> None:
        """Ends the calls in flight, and connects again: at once, or after a pause if the attempt fails."""
        for number in self._calls.values():
            self._end(number, now, UNAVAILABLE)
        self._calls.clear()
        self.close()
        if self._ready:
            self._connect()
            return
        self._failing = True
        self._connect_at = now + self._pause * self._random.uniform(1 - PAUSE_JITTER, 1 + PAUSE_JITTER)
        self._pause = min(self._pause * PAUSE_GROWTH, MOST_PAUSE_SECONDS)

    def close(self) -> None:
        if self.socket:
            self.socket.close()
            self.socket = None

    def _end(self, number: int, now: float, status: int) -> None:
        self._ledger.ended[number] = now
        self._ledger.status[number] = status
