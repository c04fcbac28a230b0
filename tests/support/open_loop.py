"""Open-loop load: calls leave on a Poisson schedule whether or not earlier ones were answered.

A latency counts from the moment its call was meant to leave, so that neither a slow server nor a late generator hides
delays. The frames of HTTP/2 are written and read here by hand: no gRPC library for Python offers a server several
times what it can do. Like any gRPC client a call is given up, and reset, when its deadline passes.

    python -m support.open_loop '{"target": "127.0.0.1:5051", "rate": 1000, …}'

is one run of `Offer`, in a process of its own; it writes the rows of `Outcomes` to standard output.
"""

import json
import os
import selectors
import socket
import subprocess
import sys
from collections import deque
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import accumulate, count, takewhile
from pathlib import Path
from random import Random
from time import perf_counter, sleep
from typing import NamedTuple

import numpy as np
from hpack import Decoder
from numpy.typing import NDArray

OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE = 0, 1, 4, 8, 13, 14
RUN_SECONDS = 120.0
"""Deadline of one run."""

DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 7, 8, 11
OF_RESET = {REFUSED_STREAM: UNAVAILABLE, CANCEL: CANCELLED, ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED}
"""What gRPC makes of a stream that is reset; INTERNAL of the rest."""

HEADER_TABLE_SIZE, MAX_STREAMS, INITIAL_WINDOW_SIZE = 1, 3, 4
WINDOW = 65_535

READ_BYTES, FRAME_BYTES = 262_144, 16_384
SPIN_SECONDS = 0.0005


@dataclass(frozen=True)
class Offer:
    """What is offered: `rate` calls a second of `images` each for `seconds`, over `connections` in turns.

    deadline  seconds each call has, from when it was meant to leave
    core      where the generator runs
    """

    target: str
    rate: float
    seconds: float
    deadline: float
    images: int = 1
    connections: int = 8
    seed: int = 1
    core: int | None = None


class Outcomes(NamedTuple):
    """What became of each call, in the order they were meant to leave. Times are seconds.

    intended  since the beginning
    late      until it left; NaN: it never did before its deadline
    latency   until its status arrived or the deadline passed
    status    gRPC's
    pushback  ms after which to try again; NaN: the server did not say
    """

    intended: NDArray[np.float64]
    late: NDArray[np.float64]
    latency: NDArray[np.float64]
    status: NDArray[np.float64]
    pushback: NDArray[np.float64]

    def having(self, status: int) -> "Outcomes":
        """Those of the calls that ended in `status`."""
        chosen = self.status == status
        return Outcomes(*(column[chosen] for column in self))


def offered(offer: Offer) -> Outcomes:
    """Makes the offer from a process of its own, and waits for the last outcome."""
    return collect(begin(offer))


def begin(offer: Offer) -> "subprocess.Popen[bytes]":
    """Starts to make the offer; `collect` waits for it."""
    return subprocess.Popen(
        [sys.executable, "-m", "support.open_loop", json.dumps(asdict(offer))],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )


def collect(running: "subprocess.Popen[bytes]") -> Outcomes:
    try:
        output, _ = running.communicate(timeout=RUN_SECONDS)
    finally:
        running.kill()
    assert running.returncode == 0, "the load generator failed"
    return Outcomes(*np.load(BytesIO(output)))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """One header field as HPACK's plainest form, without an index, for any decoder in any state."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def varint(number: int) -> bytes:
    head = b""
    while number > 127:
        head += bytes((number & 127 | 128,))
        number >>= 7
    return head + bytes((number,))


class Connection:
    """One connection, and its calls by the number of their streams."""

    def __init__(self, offer: Offer, rows: NDArray[np.float64]) -> None:
        pixels = bytes(784 * offer.images)
        message = b"\x0a" + varint(len(pixels)) + pixels
        self._body = b"\0" + len(message).to_bytes(4, "big") + message
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/digits.v1.PredictionService/Predict",
            ":authority": offer.target,
            "te": "trailers",
            "content-type": "application/grpc",
            "grpc-timeout": f"{round(offer.deadline * 1000)}m",
        }
        self._headers = b"".join(literal(*field) for field in fields.items())
        self._rows = rows
        self._deadline = offer.deadline
        self._target = offer.target
        self._held: deque[int] = deque()
        self._calls: dict[int, int] = {}
        self._connect()

    def _connect(self) -> None:
        host, _, port = self._target.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._window = WINDOW
        self._most = 100
        self._stream = 1
        self._decoder = Decoder()
        self._decoder.header_table_size = 0
        self._statuses: dict[bytes, dict[str, str]] = {}
        self._read = b""
        no_limits = HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4)
        no_limits += INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (2**31 - 1).to_bytes(4, "big")
        self._out = bytearray(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, no_limits))
        self._out += frame(WINDOW_UPDATE, 0, 0, (2**31 - 1 - WINDOW).to_bytes(4, "big"))

    def __len__(self) -> int:
        """Calls without an outcome."""
        return len(self._held) + len(self._calls)

    def call(self, row: int) -> None:
        self._held.append(row)

    def write(self, now: float) -> None:
        """Sends what may be sent, and gives up what is too late."""
        self._give_up(now)
        while self._held and self._may_send():
            self._begin(self._held.popleft(), now)
        if self._out:
            try:
                del self._out[: self.socket.send(self._out)]
            except BlockingIOError:
                pass
            except OSError:
                pass  # `read` will find the connection lost

    def _give_up(self, now: float) -> None:
        """Resets the calls whose deadline has passed; both those sent and those held are in the order of theirs."""
        late = now - self._deadline
        while self._calls:
            stream, row = next(iter(self._calls.items()))
            if self._rows[row, 0] > late:
                break
            del self._calls[stream]
            self._end(row, now, DEADLINE_EXCEEDED)
            self._out += frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))
        while self._held and self._rows[self._held[0], 0] <= late:
            self._end(self._held.popleft(), now, DEADLINE_EXCEEDED)

    def _may_send(self) -> bool:
        return len(self._body) <= self._window and len(self._calls) < self._most

    def _begin(self, row: int, now: float) -> None:
        self._rows[row, 1] = now - self._rows[row, 0]
        self._window -= len(self._body)
        self._calls[self._stream] = row
        self._out += frame(HEADERS, END_HEADERS, self._stream, self._headers)
        for begin in range(0, len(self._body), FRAME_BYTES):
            piece = self._body[begin : begin + FRAME_BYTES]
            self._out += frame(DATA, END_STREAM if begin + FRAME_BYTES >= len(self._body) else 0, self._stream, piece)
        self._stream += 2

    def read(self, now: float) -> None:
        """Takes in what has arrived."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(now)
            return
        data = self._read + data
        place, end = 0, len(data)
        while end - place >= 9:
            after = place + 9 + int.from_bytes(data[place : place + 3], "big")
            if after > end:
                break
            stream = int.from_bytes(data[place + 5 : place + 9], "big")
            self._take(data[place + 3], data[place + 4], stream, data[place + 9 : after], now)
            place = after
        self._read = data[place:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == HEADERS:
            fields = self._statuses.get(payload)
            if fields is None:
                found = self._decoder.decode(payload)
                fields = self._statuses[payload] = {str(name): str(value) for name, value in found}
            if flags & END_STREAM and (row := self._calls.pop(stream, None)) is not None:
                self._rows[row, 4] = float(fields.get("grpc-retry-pushback-ms", "nan"))
                self._end(row, now, int(fields["grpc-status"]))
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            if (row := self._calls.pop(stream, None)) is not None:
                self._end(row, now, OF_RESET.get(int.from_bytes(payload, "big"), INTERNAL))
        elif kind in (PING, SETTINGS) and not flags & ACK:
            if kind == SETTINGS:
                pairs = (payload[place : place + 6] for place in range(0, len(payload), 6))
                settings = {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
                self._most = settings.get(MAX_STREAMS, self._most)
            self._out += frame(kind, ACK, 0, payload if kind == PING else b"")

    def _lost(self, now: float) -> None:
        """Ends what was under way, and connects anew, as gRPC does."""
        for row in self._calls.values():
            self._end(row, now, UNAVAILABLE)
        self._calls.clear()
        self.socket.close()
        self._connect()

    def _end(self, row: int, now: float, status: int) -> None:
        self._rows[row, 2] = now - self._rows[row, 0]
        self._rows[row, 3] = status


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """A Poisson process: seconds since the beginning."""
    random = Random(seed)
    return list(takewhile(lambda at: at < seconds, accumulate(random.expovariate(rate) for _ in count())))


def run(offer: Offer) -> NDArray[np.float64]:
    """The rows of `Outcomes`, a call each."""
    schedule = arrivals(offer.rate, offer.seconds, offer.seed)
    rows = np.full((len(schedule), 5), np.nan)
    connections = [Connection(offer, rows) for _ in range(offer.connections)]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.write(0.0)
        begin = perf_counter()
        rows[:, 0] = schedule
        sent = 0
        while sent < len(schedule) or any(connections):
            now = perf_counter() - begin
            while sent < len(schedule) and schedule[sent] <= now:
                connections[sent % len(connections)].call(sent)
                sent += 1
            for connection in connections:
                connection.write(now)
            for key, _ in selector.select(0):
                key.data.read(perf_counter() - begin)
                if key.data.socket is not key.fileobj:
                    selector.unregister(key.fileobj)
                    selector.register(key.data.socket, selectors.EVENT_READ, key.data)
            if sent < len(schedule) and schedule[sent] > now + SPIN_SECONDS:
                sleep(SPIN_SECONDS / 4)
    for connection in connections:
        connection.socket.close()
    return rows


if __name__ == "__main__":
    what = Offer(**json.loads(sys.argv[1]))
    if what.core is not None:
        os.sched_setaffinity(0, {what.core})
    np.save(sys.stdout.buffer, run(what).T)
